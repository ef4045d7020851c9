package edgevos.core

import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** A part of a plane: rows from [top] to before [bottom], columns from [left] to before [right]. */
internal class Window(val top: Int, val bottom: Int, val left: Int, val right: Int)

/** A map of (height, width) float32, row by row. */
class Plane(val height: Int, val width: Int, val data: FloatArray = FloatArray(height * width)) {

    /** A plane of the same size, made of what [value] returns for each index of the data. */
    internal inline fun map(value: (Int) -> Float) = Plane(height, width, FloatArray(data.size) { value(it) })

    internal fun cut(part: Window): Plane {
        val result = Plane(part.bottom - part.top, part.right - part.left)
        for (y in 0 until result.height) {
            val from = (part.top + y) * width
            data.copyInto(result.data, y * result.width, from + part.left, from + part.right)
        }
        return result
    }

    /** Resize bilinearly, pixel areas onto pixel areas (half-pixel centres). */
    fun linear(toHeight: Int, toWidth: Int): Plane {
        val rows = Between(height, toHeight)
        val columns = Between(width, toWidth)
        val result = Plane(toHeight, toWidth)
        val above = FloatArray(width)
        for (y in 0 until toHeight) {
            val upper = rows.low[y] * width
            val lower = rows.high[y] * width
            for (x in 0 until width) above[x] = data[upper + x] + (data[lower + x] - data[upper + x]) * rows.weight[y]
            for (x in 0 until toWidth) {
                val left = above[columns.low[x]]
                result.data[y * toWidth + x] = left + (above[columns.high[x]] - left) * columns.weight[x]
            }
        }
        return result
    }

    /** Shrink by the mean of the area that each new cell covers; where a side grows, bilinearly. */
    fun area(toHeight: Int, toWidth: Int): Plane {
        if (toHeight > height || toWidth > width) return linear(toHeight, toWidth)
        val across = Plane(height, toWidth)
        for (x in 0 until toWidth) {
            covered(x, width, toWidth) { from, weight ->
                for (y in 0 until height) across.data[y * toWidth + x] += data[y * width + from] * weight
            }
        }
        val result = Plane(toHeight, toWidth)
        for (y in 0 until toHeight) {
            covered(y, height, toHeight) { from, weight ->
                for (x in 0 until toWidth) result.data[y * toWidth + x] += across.data[from * toWidth + x] * weight
            }
        }
        return result
    }

    private inline fun covered(cell: Int, from: Int, to: Int, use: (Int, Float) -> Unit) {
        val scale = from.toDouble() / to
        val start = cell * scale
        val stop = min((cell + 1) * scale, from.toDouble())
        for (k in floor(start + EDGE).toInt() until min(ceil(stop - EDGE).toInt(), from)) {
            use(k, ((min(k + 1.0, stop) - max(k.toDouble(), start)) / scale).toFloat())
        }
    }

    private companion object {
        const val EDGE = 1e-9
    }
}

/** For each of `to` places, the two of `from` places that it lies between, and how near the second. */
internal class Between(from: Int, to: Int) {
    val low = IntArray(to)
    val high = IntArray(to)
    val weight = FloatArray(to)

    init {
        for (i in 0 until to) {
            val at = ((i + 0.5) * from / to - 0.5).coerceIn(0.0, from - 1.0)
            low[i] = at.toInt()
            high[i] = min(low[i] + 1, from - 1)
            weight[i] = (at - low[i]).toFloat()
        }
    }
}
