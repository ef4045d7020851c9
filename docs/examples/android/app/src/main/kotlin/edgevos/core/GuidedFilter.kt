package edgevos.core

/** Cells to each side that a function of the colour is fitted to. */
internal const val RADIUS = 2

private const val EPSILON = 0.65f
private const val FLAT = 30f

/**
 * Enlarge a map of cells to the pixels of a picture, whose outlines it takes on: the fast guided
 * filter of runtime/guided_filter.py, which names the papers.
 *
 * @param source (h, w). @param guide three colours in [0, 255], each (s * h, s * w).
 * @return (s * h, s * w).
 */
internal fun guidedFilter(source: Plane, guide: List<Plane>): Plane {
    val colours = guide.map { it.area(source.height, source.width) }
    val means = colours.map { it.mean() }
    val level = source.mean()
    fun covariance(i: Int, other: Plane, itsMean: Plane): Plane {
        val found = (colours[i] * other).mean()
        return found.map { k -> found.data[k] - means[i].data[k] * itsMean.data[k] }
    }
    val variance = List(3) { i -> List(i + 1) { j -> covariance(i, colours[j], means[j]).data } }
    val (c0, c1, c2) = List(3) { covariance(it, source, level).data }
    val slopes = List(3) { Plane(source.height, source.width) }
    for (k in level.data.indices) {
        // L D L^T of the 3x3 matrix of the colours' covariance.
        val v10 = variance[1][0][k]
        val v20 = variance[2][0][k]
        val d0 = variance[0][0][k] + EPSILON
        val l10 = v10 / d0
        val l20 = v20 / d0
        val d1 = variance[1][1][k] + EPSILON - l10 * v10
        val e21 = variance[2][1][k] - l20 * v10
        val l21 = e21 / d1
        val d2 = variance[2][2][k] + EPSILON - l20 * v20 - l21 * e21
        val y1 = c1[k] - l10 * c0[k]
        val x2 = (c2[k] - l20 * c0[k] - l21 * y1) / d2
        val x1 = y1 / d1 - l21 * x2
        slopes[0].data[k] = c0[k] / d0 - l10 * x1 - l20 * x2
        slopes[1].data[k] = x1
        slopes[2].data[k] = x2
        for (i in 0 until 3) level.data[k] -= slopes[i].data[k] * means[i].data[k]
    }
    fun enlarge(plane: Plane) = plane.linear(guide[0].height, guide[0].width)
    val fitted = enlarge(level.mean())
    for ((slope, colour) in slopes.zip(guide)) {
        val steep = enlarge(slope.mean()).data
        for (k in steep.indices) fitted.data[k] += steep[k] * colour.data[k]
    }
    // Where the picture is flat nothing can be fitted, and the map is interpolated.
    val total = level.map { k -> variance[0][0][k] + variance[1][1][k] + variance[2][2][k] }
    val trust = enlarge(total.map { k -> total.data[k] / (total.data[k] + FLAT) }.mean()).data
    val plain = enlarge(source)
    return plain.map { k -> plain.data[k] + trust[k] * (fitted.data[k] - plain.data[k]) }
}

private operator fun Plane.times(other: Plane) = map { data[it] * other.data[it] }

/** The mean of 5x5 cells; cells over the border are those mirrored at its outermost ones. */
private fun Plane.mean(): Plane {
    fun mirrored(at: Int, length: Int): Int {
        var inside = at
        while (length > 1 && inside !in 0 until length) inside = if (inside < 0) -inside else 2 * length - 2 - inside
        return if (length > 1) inside else 0
    }
    val across = Plane(height, width)
    val result = Plane(height, width)
    for (x in 0 until width) for (k in -RADIUS..RADIUS) {
        val from = mirrored(x + k, width)
        for (y in 0 until height) across.data[y * width + x] += data[y * width + from]
    }
    for (y in 0 until height) for (k in -RADIUS..RADIUS) {
        val from = mirrored(y + k, height) * width
        for (x in 0 until width) result.data[y * width + x] += across.data[from + x]
    }
    val count = (2 * RADIUS + 1) * (2 * RADIUS + 1)
    return result.map { result.data[it] / count }
}
