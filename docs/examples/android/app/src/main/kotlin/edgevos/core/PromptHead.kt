package edgevos.core

import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import kotlin.math.pow
import kotlin.math.round

/** Left, top, width and height in pixels of the frame. */
data class Box(val left: Int, val top: Int, val width: Int, val height: Int)

private const val ON = 0 // channels of the prompt; 1 is for clicks beside the object
private const val BOX = 2
private const val MASK = 3
private const val CLICK_CELLS = 1.5
private const val BOX_MARGIN = 0.25
private const val MASK_MARGIN = 0.4
private const val LEAST_VIEW_PX = 64.0
private const val LEAST_GAIN = 1.25

/** A part of a frame as the network takes it. */
private class Look(
    val frame: Size,
    val view: Box,
    val letterbox: Letterbox,
    val image: FloatArray,
    val prompt: FloatArray,
)

/**
 * Make a mask of one object from a box or a tap, as runtime/prompts/prompt_head.py. The network looks
 * twice, the second time mirrored and with what it found at first.
 */
class PromptHead(private val graph: Graph, private val engine: Engine) {
    private val size = graph.size

    /** @return a mask of the frame's size, 1 on the object in the box; all 0 if none was found. */
    fun inBox(frame: Frame, box: Box): ByteArray {
        val look = lookAt(frame, around(box, BOX_MARGIN, frame.size), box = box)
        return again(look, run(look.image, look.prompt))
    }

    /** @return a mask of the frame's size, 1 on the object under the pixel at (x, y). */
    fun at(frame: Frame, x: Int, y: Int): ByteArray {
        val tap = Box(x, y, 1, 1)
        val whole = Box(0, 0, frame.size.width, frame.size.height)
        var look = lookAt(frame, whole, tap = tap)
        var found = run(look.image, look.prompt)
        val mask = drawn(look, found)
        val closer = around(joined(bounds(mask, frame.size), tap), MASK_MARGIN, frame.size)
        if (scale(closer) / scale(whole) >= LEAST_GAIN) {
            look = lookAt(frame, closer, tap = tap, mask = mask)
            found = run(look.image, look.prompt)
        }
        return again(look, found)
    }

    /** Look once more, mirrored, with what was found as the prompt's mask. */
    private fun again(look: Look, found: FloatArray): ByteArray {
        val cells = size.width / MASK_STRIDE
        found.copyInto(look.prompt, MASK * found.size)
        val turned = run(mirrored(look.image, size.width), mirrored(look.prompt, cells))
        return drawn(look, mirrored(turned, cells))
    }

    private fun run(image: FloatArray, prompt: FloatArray): FloatArray =
        engine.run(mapOf("image" to image, "prompt" to prompt)).getValue("probability")

    /** The part of the frame around a box, in the image's aspect ratio as far as the frame reaches. */
    private fun around(box: Box, margin: Double, frame: Size): Box {
        val least = { side: Int -> max(side * (1 + 2 * margin), LEAST_VIEW_PX) }
        val ratio = size.width.toDouble() / size.height
        fun span(start: Int, side: Int, length: Double, limit: Int): Pair<Int, Int> {
            val whole = min(round(length).toInt(), limit)
            return round(start + side / 2.0 - whole / 2.0).toInt().coerceIn(0, limit - whole) to whole
        }
        val (top, height) = span(box.top, box.height, max(least(box.height), least(box.width) / ratio), frame.height)
        val (left, width) = span(box.left, box.width, max(least(box.width), least(box.height) * ratio), frame.width)
        return Box(left, top, width, height)
    }

    private fun scale(view: Box) = min(size.height.toDouble() / view.height, size.width.toDouble() / view.width)

    private fun lookAt(frame: Frame, view: Box, box: Box? = null, tap: Box? = null, mask: ByteArray? = null): Look {
        val letterbox = Letterbox(Size(view.height, view.width), size)
        val image = FloatArray(3 * size.height * size.width) { NEUTRAL }
        letterbox.fill(frame, image, view.top, view.left)
        val prompt = FloatArray(graph.inputs.first { it.name == "prompt" }.count)
        val cells = prompt.size / 4
        val rows = letterbox.content.height / MASK_STRIDE
        val columns = letterbox.content.width / MASK_STRIDE
        val down = rows.toDouble() / view.height
        val across = columns.toDouble() / view.width
        if (tap != null) {
            val row = (tap.top + 0.5 - view.top) * down - 0.5
            val column = (tap.left + 0.5 - view.left) * across - 0.5
            letterbox.paste(plane(rows, columns) { y, x -> spot(y - row) * spot(x - column) }, prompt, ON * cells)
        }
        if (box != null) {
            val inside = { cell: Int, start: Int, side: Int, scale: Double ->
                (min((start + side) * scale, cell + 1.0) - max(start * scale, cell.toDouble())).coerceIn(0.0, 1.0)
            }
            val covered = plane(rows, columns) { y, x ->
                inside(y, box.top - view.top, box.height, down) * inside(x, box.left - view.left, box.width, across)
            }
            letterbox.paste(covered, prompt, BOX * cells)
        }
        if (mask != null) {
            val part = plane(view.height, view.width) { y, x ->
                mask[(view.top + y) * frame.size.width + view.left + x].toDouble()
            }
            letterbox.paste(part.area(rows, columns), prompt, MASK * cells)
        }
        return Look(frame.size, view, letterbox, image, prompt)
    }

    /** A mask of the frame's size, its outlines along the picture's. */
    private fun drawn(look: Look, probability: FloatArray): ByteArray {
        val view = look.view
        val likely = look.letterbox.crop(probability)
        val levels = outlineLevels(likely.map { 1 - likely.data[it] }, listOf(likely), look.letterbox, look.image)
        val enlarged = levels.linear(view.height, view.width)
        val result = ByteArray(look.frame.height * look.frame.width)
        for (y in 0 until view.height) for (x in 0 until view.width) {
            val isObject = round(enlarged.data[y * view.width + x]) > OUTLINE
            if (isObject) result[(view.top + y) * look.frame.width + view.left + x] = 1
        }
        return result
    }

    private fun spot(away: Double) = exp(-0.5 * (away / CLICK_CELLS).pow(2))

    private fun plane(height: Int, width: Int, at: (Int, Int) -> Double) =
        Plane(height, width, FloatArray(height * width) { at(it / width, it % width).toFloat() })
}

/** Each row from its end to its start. */
private fun mirrored(rows: FloatArray, width: Int) = FloatArray(rows.size) { rows[it + width - 1 - 2 * (it % width)] }

/** The smallest box that holds what is not 0 in a mask, or null for none. */
private fun bounds(mask: ByteArray, size: Size): Box? {
    val seen = mask.indices.filter { mask[it].toInt() != 0 }
    if (seen.isEmpty()) return null
    val left = seen.minOf { it % size.width }
    val top = seen.first() / size.width
    return Box(left, top, seen.maxOf { it % size.width } - left + 1, seen.last() / size.width - top + 1)
}

private fun joined(one: Box?, other: Box): Box {
    if (one == null) return other
    val left = min(one.left, other.left)
    val top = min(one.top, other.top)
    val right = max(one.left + one.width, other.left + other.width)
    val bottom = max(one.top + one.height, other.top + other.height)
    return Box(left, top, right - left, bottom - top)
}
