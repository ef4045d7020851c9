package edgevos.core

import kotlin.math.min

private val COLOURS = intArrayOf(
    0xff3b30, 0x34c759, 0x007aff, 0xffcc00, 0xaf52de, 0x5ac8fa, 0xff9500, 0xff2d55, 0x00c7be, 0xa2845e,
)
private const val OPACITY = 0x90

/** @param labels object ids, 0 for the background. @return ARGB of each, transparent on the background. */
fun overlay(labels: ByteArray): IntArray = IntArray(labels.size) { i ->
    labels[i].toInt().let { id -> if (id == 0) 0 else (OPACITY shl 24) or COLOURS[(id - 1) % COLOURS.size] }
}

/**
 * Where a frame is shown in a view: whole, centred. A mirrored one is flipped left to right.
 *
 * @property left in pixels of the view, as [top], [width] and [height].
 */
class Placement(private val frame: Size, viewWidth: Int, viewHeight: Int, private val isMirrored: Boolean) {
    private val scale = min(viewWidth.toFloat() / frame.width, viewHeight.toFloat() / frame.height)
    val width = frame.width * scale
    val height = frame.height * scale
    val left = (viewWidth - width) / 2
    val top = (viewHeight - height) / 2

    /** @return the frame's pixel (x, y) that is shown at a place of the view, inside the frame. */
    fun pixel(x: Float, y: Float): Pair<Int, Int> {
        val across = ((x - left) / scale).toInt().coerceIn(0, frame.width - 1)
        return (if (isMirrored) frame.width - 1 - across else across) to
            ((y - top) / scale).toInt().coerceIn(0, frame.height - 1)
    }

    /** @return the box between two places of the view, in pixels of the frame. */
    fun box(x0: Float, y0: Float, x1: Float, y1: Float): Box {
        val (first, second) = pixel(x0, y0) to pixel(x1, y1)
        val left = min(first.first, second.first)
        val top = min(first.second, second.second)
        return Box(left, top, maxOf(first.first, second.first) - left + 1, maxOf(first.second, second.second) - top + 1)
    }
}
