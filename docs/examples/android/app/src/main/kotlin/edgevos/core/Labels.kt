package edgevos.core

import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** The level of an outline: more is an object. */
internal const val OUTLINE = 128f

private const val LEVELS = 16f
private const val LEAST_PROBABILITY = 1e-3f

/**
 * Label every pixel of the letterbox's frame with its likeliest object, as runtime/labels.py.
 *
 * @param maps the content's cells of channel 0, the background, and of each object, ascending.
 * @param image (3, H, W) in [0, 255], the network's image.
 * @return object ids of that frame's size, 0 for the background.
 */
internal fun label(maps: Map<Int, Plane>, letterbox: Letterbox, image: FloatArray): ByteArray {
    val (height, width) = letterbox.frame
    val found = ByteArray(height * width)
    val best = FloatArray(height * width)
    for ((id, map) in maps) {
        if (id == 0) continue
        val likeliest = around(map) { i -> maps.values.all { map.data[i] >= it.data[i] } } ?: continue
        val window = letterbox.window(likeliest)
        val enlarged = map.linear(height, width, window)
        for (y in 0 until enlarged.height) for (x in 0 until enlarged.width) {
            val value = enlarged.data[y * enlarged.width + x]
            val i = (window.top + y) * width + window.left + x
            if (value > best[i]) {
                best[i] = value
                found[i] = id.toByte()
            }
        }
    }
    if (found.any { it.toInt() != 0 }) {
        val levels = outlineLevels(maps.getValue(0), maps.filterKeys { it != 0 }.values, letterbox, image).data
        for (i in found.indices) if (levels[i] <= OUTLINE) found[i] = 0
    }
    return found
}

/**
 * Tell how surely each pixel of the letterbox's frame is any object, with outlines that follow the picture.
 *
 * @param background the content's cells, as each of [objects].
 * @return whole numbers in [0, 255], of that frame's size: [OUTLINE] and 16 times the logarithm of the odds.
 */
internal fun outlineLevels(
    background: Plane,
    objects: Collection<Plane>,
    letterbox: Letterbox,
    image: FloatArray,
): Plane {
    val margin = background.map { i ->
        val most = max(objects.maxOf { it.data[i] }, LEAST_PROBABILITY)
        ln(most / max(background.data[i], LEAST_PROBABILITY))
    }
    val levels = Plane(letterbox.content.height, letterbox.content.width)
    val window = around(margin) { margin.data[it] >= 0f } ?: return letterbox.enlarge(levels)
    val pixels = Window(
        window.top * MASK_STRIDE, window.bottom * MASK_STRIDE, window.left * MASK_STRIDE, window.right * MASK_STRIDE,
    )
    val outline = guidedFilter(margin.cut(window), letterbox.pixels(image).map { it.cut(pixels) })
    for (y in 0 until outline.height) for (x in 0 until outline.width) {
        val odds = max(outline.data[y * outline.width + x], -OUTLINE / LEVELS)
        val level = round(odds * LEVELS + OUTLINE).coerceAtMost(255f)
        levels.data[(pixels.top + y) * levels.width + pixels.left + x] = level
    }
    return letterbox.enlarge(levels)
}

/** The cells around the chosen ones, as far as an outline may reach; null for none. */
private inline fun around(cells: Plane, isChosen: (Int) -> Boolean): Window? {
    val (left, top, width, height) = bounds(Size(cells.height, cells.width), isChosen) ?: return null
    return Window(
        max(top - RADIUS, 0), min(top + height + RADIUS, cells.height),
        max(left - RADIUS, 0), min(left + width + RADIUS, cells.width),
    )
}
