package edgevos.core

import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import kotlin.math.pow

private const val ON = 0 // channels of the prompt; 1 is for clicks beside the object
private const val BOX = 2
private const val MASK = 3
private const val CLICK_CELLS = 1.5
private const val BOX_MARGIN = 0.25
private const val MASK_MARGIN = 0.4
private const val FOUND_MARGIN = 0.15
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
 * twice, the second time mirrored and with what it found at first; after a tap on something large a
 * third time, closer at what it found.
 */
class PromptHead(private val graph: Graph, private val engine: Engine) {
    private val size = graph.size

    /** @return a mask of the frame's size, 1 on the object in the box; all 0 if none was found. */
    fun inBox(frame: Frame, box: Box): ByteArray {
        val look = lookAt(frame, around(box, BOX_MARGIN, frame.size), box = box)
        return drawn(look, again(look, run(look.image, look.prompt)))
    }

    /** @return a mask of the frame's size, 1 on the object under the pixel at (x, y). */
    fun at(frame: Frame, x: Int, y: Int): ByteArray {
        val tap = Box(x, y, 1, 1)
        val whole = Box.whole(frame.size)
        var look = lookAt(frame, whole, tap = tap)
        var found = run(look.image, look.prompt)
        val mask = drawn(look, found)
        val seen = boxAround(mask, frame.size)?.joined(tap) ?: tap
        val closer = around(seen, MASK_MARGIN, frame.size)
        val isClose = scale(closer) / scale(whole) >= LEAST_GAIN
        if (isClose) {
            look = lookAt(frame, closer, tap = tap, mask = mask)
            found = run(look.image, look.prompt)
        }
        val second = drawn(look, again(look, found))
        val shape = boxAround(second, frame.size)
        if (isClose || shape == null) return second
        look = lookAt(frame, around(shape.joined(tap), FOUND_MARGIN, frame.size), tap = tap, mask = second)
        return drawn(look, run(look.image, look.prompt))
    }

    /** Look once more, mirrored, with what was found as the prompt's mask. */
    private fun again(look: Look, found: FloatArray): FloatArray {
        val cells = size.width / MASK_STRIDE
        found.copyInto(look.prompt, MASK * found.size)
        val turned = run(mirrored(look.image, size.width), mirrored(look.prompt, cells))
        return mirrored(turned, cells)
    }

    private fun run(image: FloatArray, prompt: FloatArray): FloatArray =
        engine.run(mapOf("image" to image, "prompt" to prompt)).getValue("probability")

    /** The part of the frame around a box, in the image's aspect ratio as far as the frame reaches. */
    private fun around(box: Box, margin: Double, frame: Size): Box {
        val height = max(box.height * (1 + 2 * margin), LEAST_VIEW_PX)
        val width = max(box.width * (1 + 2 * margin), LEAST_VIEW_PX)
        val ratio = size.width.toDouble() / size.height
        return Box.at(box.centreX, box.centreY, max(height, width / ratio), max(width, height * ratio), frame)
    }

    private fun scale(view: Box) = min(size.height.toDouble() / view.height, size.width.toDouble() / view.width)

    private fun lookAt(frame: Frame, view: Box, box: Box? = null, tap: Box? = null, mask: ByteArray? = null): Look {
        val letterbox = Letterbox(view.size, size)
        val image = FloatArray(3 * size.height * size.width) { NEUTRAL }
        letterbox.fill(frame, view, image)
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
            letterbox.paste(letterbox.coverage(view.of(mask, frame.size), 1), prompt, MASK * cells)
        }
        return Look(frame.size, view, letterbox, image, prompt)
    }

    /** A mask of the frame's size, its outlines along the picture's. */
    private fun drawn(look: Look, probability: FloatArray): ByteArray {
        val likely = look.letterbox.crop(probability)
        val unlikely = likely.map { 1 - likely.data[it] }
        val levels = outlineLevels(unlikely, listOf(likely), look.letterbox, look.image).data
        return look.view.placed(ByteArray(levels.size) { if (levels[it] > OUTLINE) 1 else 0 }, look.frame)
    }

    private fun spot(away: Double) = exp(-0.5 * (away / CLICK_CELLS).pow(2))

    private fun plane(height: Int, width: Int, at: (Int, Int) -> Double) =
        Plane(height, width, FloatArray(height * width) { at(it / width, it % width).toFloat() })
}

/** Each row from its end to its start. */
private fun mirrored(rows: FloatArray, width: Int) = FloatArray(rows.size) { rows[it + width - 1 - 2 * (it % width)] }
