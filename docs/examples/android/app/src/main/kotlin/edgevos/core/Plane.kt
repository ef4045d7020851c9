package edgevos.core

import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

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

    /** Resize bilinearly, pixel areas onto pixel areas (half-pixel centres). @return that part of the result. */
    internal fun linear(toHeight: Int, toWidth: Int, part: Window = Window(0, toHeight, 0, toWidth)): Plane {
        val rows = Between(height, toHeight)
        val columns = Between(width, toWidth)
        val result = FloatArray((part.bottom - part.top) * (part.right - part.left))
        val above = FloatArray(width)
        var i = 0
        for (y in part.top until part.bottom) {
            val upper = rows.low[y] * width
            val lower = rows.high[y] * width
            for (x in 0 until width) above[x] = data[upper + x] + (data[lower + x] - data[upper + x]) * rows.weight[y]
            for (x in part.left until part.right) {
                val left = above[columns.low[x]]
                result[i++] = left + (above[columns.high[x]] - left) * columns.weight[x]
            }
        }
        return Plane(part.bottom - part.top, part.right - part.left, result)
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
            val at = ((i + 0.5) * from / to - 0.5).toFloat()
            val first = floor(at)
            low[i] = max(first.toInt(), 0)
            high[i] = min(first.toInt() + 1, from - 1)
            weight[i] = at - first
        }
    }
}

/** Bilinear samples of 8 bits each, as OpenCV takes them: with weights of 11 bits, to the last one. */
internal class Samples(from: Size, to: Size) {
    private val rows = Between(from.height, to.height)
    private val columns = Between(from.width, to.width)
    private val down = IntArray(to.height) { round(rows.weight[it] * ONE).toInt() }
    private val across = IntArray(to.width) { round(columns.weight[it] * ONE).toInt() }

    /** @param value what a row and a column hold, in [0, 255]. @return the sample of row [y] and column [x]. */
    inline fun at(y: Int, x: Int, value: (Int, Int) -> Int): Int {
        val left = columns.low[x]
        val right = columns.high[x]
        val upper = between(x, value(rows.low[y], left), value(rows.low[y], right))
        return below(y, upper, between(x, value(rows.high[y], left), value(rows.high[y], right)))
    }

    private fun between(x: Int, left: Int, right: Int) = (left * (ONE - across[x]) + right * across[x]) shr 4

    private fun below(y: Int, upper: Int, lower: Int) =
        ((upper * (ONE - down[y]) shr 16) + (lower * down[y] shr 16) + 2) shr 2

    private companion object {
        const val ONE = 2048
    }
}
