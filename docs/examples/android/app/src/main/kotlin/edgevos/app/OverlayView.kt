package edgevos.app

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import android.view.ViewConfiguration
import edgevos.core.Box
import edgevos.core.Placement
import edgevos.core.Size
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/**
 * Show a frame and the mask that belongs to it, and tell of taps and boxes.
 *
 * The frame is the one that was segmented, not a live preview, so that the mask lies on its object.
 */
class OverlayView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    /** Called with a box, in pixels of the frame. */
    var onBox: (Box) -> Unit = {}

    /** Called with the pixel (x, y) of the frame that was tapped. */
    var onTap: (Int, Int) -> Unit = { _, _ -> }

    private var frame: Bitmap? = null
    private var mask: Bitmap? = null
    private var isMirrored = false
    private var start: Pair<Float, Float>? = null
    private var end = 0f to 0f
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private val line = Paint().apply {
        color = Color.WHITE
        style = Paint.Style.STROKE
        strokeWidth = 4f
    }

    /** @param mask of any size, with the frame's edges; null while nothing is followed. */
    fun show(frame: Bitmap, mask: Bitmap?, isMirrored: Boolean) {
        this.frame = frame
        this.mask = mask
        this.isMirrored = isMirrored
        invalidate()
    }

    private fun placement() =
        frame?.let { Placement(Size(it.height, it.width), width, height, isMirrored) }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val place = placement() ?: return
        val area = RectF(place.left, place.top, place.left + place.width, place.top + place.height)
        canvas.save()
        if (isMirrored) canvas.scale(-1f, 1f, width / 2f, height / 2f)
        frame?.let { canvas.drawBitmap(it, null, area, smooth) }
        mask?.let { canvas.drawBitmap(it, null, area, smooth) }
        canvas.restore()
        start?.let { (x, y) ->
            canvas.drawRect(min(x, end.first), min(y, end.second), max(x, end.first), max(y, end.second), line)
        }
    }

    override fun onTouchEvent(event: MotionEvent): Boolean {
        end = event.x to event.y
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> start = end
            MotionEvent.ACTION_UP -> finish()
            MotionEvent.ACTION_CANCEL, MotionEvent.ACTION_POINTER_DOWN -> start = null
        }
        invalidate()
        return true
    }

    private fun finish() {
        val (x, y) = start ?: return
        val place = placement()
        start = null
        if (place == null) return
        val slop = ViewConfiguration.get(context).scaledTouchSlop
        if (max(abs(end.first - x), abs(end.second - y)) > slop) {
            onBox(place.box(x, y, end.first, end.second))
        } else {
            performClick()
            place.pixel(x, y).let { (column, row) -> onTap(column, row) }
        }
    }
}
