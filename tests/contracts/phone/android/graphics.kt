package android.graphics

import java.nio.Buffer

class Bitmap private constructor() {
    enum class Config { ARGB_8888 }

    val height: Int get() = TODO()
    val width: Int get() = TODO()

    fun copyPixelsFromBuffer(source: Buffer): Unit = TODO()

    companion object {
        fun createBitmap(width: Int, height: Int, config: Config): Bitmap = TODO()

        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = TODO()
    }
}

class Rect

class RectF(left: Float, top: Float, right: Float, bottom: Float)

object Color {
    const val WHITE = -1
}

class Paint(flags: Int = 0) {
    enum class Style { STROKE }

    var color = 0
    var style = Style.STROKE
    var strokeWidth = 0f

    companion object {
        const val FILTER_BITMAP_FLAG = 2
    }
}

class Canvas {
    fun save(): Int = TODO()

    fun restore(): Unit = TODO()

    fun scale(x: Float, y: Float, pivotX: Float, pivotY: Float): Unit = TODO()

    fun drawBitmap(bitmap: Bitmap, source: Rect?, target: RectF, paint: Paint?): Unit = TODO()

    fun drawRect(left: Float, top: Float, right: Float, bottom: Float, paint: Paint): Unit = TODO()
}
