package android.view

import android.content.Context
import android.graphics.Canvas
import android.util.AttributeSet

class Display {
    val rotation: Int get() = TODO()
}

class MotionEvent {
    val x: Float get() = TODO()
    val y: Float get() = TODO()
    val actionMasked: Int get() = TODO()

    companion object {
        const val ACTION_DOWN = 0
        const val ACTION_UP = 1
        const val ACTION_CANCEL = 3
        const val ACTION_POINTER_DOWN = 5
    }
}

class ViewConfiguration {
    val scaledTouchSlop: Int get() = TODO()

    companion object {
        fun get(context: Context): ViewConfiguration = TODO()
    }
}

open class View(val context: Context, attributes: AttributeSet? = null) {
    val width: Int get() = TODO()
    val height: Int get() = TODO()
    val display: Display? get() = TODO()

    fun invalidate(): Unit = TODO()

    open fun performClick(): Boolean = TODO()

    fun setOnClickListener(listener: (View) -> Unit): Unit = TODO()

    protected open fun onDraw(canvas: Canvas): Unit = TODO()

    open fun onTouchEvent(event: MotionEvent): Boolean = TODO()
}
