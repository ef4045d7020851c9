package edgevos.core

import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** A part of a frame: left, top, width and height in pixels. As `View` in runtime/objects/view.py. */
data class Box(val left: Int, val top: Int, val width: Int, val height: Int) {
    val size get() = Size(height, width)
    internal val centreX get() = left + width / 2.0
    internal val centreY get() = top + height / 2.0

    /** @return the smallest box that holds both. */
    internal fun joined(other: Box): Box {
        val left = min(left, other.left)
        val top = min(top, other.top)
        val right = max(this.left + width, other.left + other.width)
        val bottom = max(this.top + height, other.top + other.height)
        return Box(left, top, right - left, bottom - top)
    }

    /** Tell whether [box] reaches a side of this one that is not the frame's. */
    internal fun cuts(box: Box, frame: Size) = (box.left <= left && left > 0) ||
        (box.top <= top && top > 0) ||
        (box.left + box.width >= left + width && left + width < frame.width) ||
        (box.top + box.height >= top + height && top + height < frame.height)

    /** @return this part of a label map of the frame's size. */
    internal fun of(labels: ByteArray, frame: Size): ByteArray {
        val part = ByteArray(height * width)
        for (y in 0 until height) {
            val from = (top + y) * frame.width + left
            labels.copyInto(part, y * width, from, from + width)
        }
        return part
    }

    /** @return the label map of a frame that is [part] here, and 0 elsewhere. */
    internal fun placed(part: ByteArray, frame: Size): ByteArray {
        val labels = ByteArray(frame.height * frame.width)
        for (y in 0 until height) {
            part.copyInto(labels, (top + y) * frame.width + left, y * width, (y + 1) * width)
        }
        return labels
    }

    internal companion object {
        fun whole(frame: Size) = Box(0, 0, frame.width, frame.height)

        /** A part of a frame, moved and cut so that it lies in the frame. */
        fun at(centreX: Double, centreY: Double, height: Double, width: Double, frame: Size): Box {
            fun span(centre: Double, length: Double, limit: Int): Pair<Int, Int> {
                val span = min(round(length).toInt(), limit)
                return round(centre - span / 2.0).toInt().coerceIn(0, limit - span) to span
            }
            val (top, rows) = span(centreY, height, frame.height)
            val (left, columns) = span(centreX, width, frame.width)
            return Box(left, top, columns, rows)
        }
    }
}

/** The smallest box that holds all objects of a label map, or null for none. */
internal fun boxAround(labels: ByteArray, frame: Size) = bounds(frame) { labels[it].toInt() != 0 }

/** The smallest box that holds the chosen ones of height x width places, or null for none. */
internal inline fun bounds(size: Size, isChosen: (Int) -> Boolean): Box? {
    var top = size.height
    var bottom = -1
    var left = size.width
    var right = -1
    for (y in 0 until size.height) for (x in 0 until size.width) {
        if (!isChosen(y * size.width + x)) continue
        top = min(top, y)
        bottom = y
        left = min(left, x)
        right = max(right, x)
    }
    return if (bottom < 0) null else Box(left, top, right - left + 1, bottom - top + 1)
}
