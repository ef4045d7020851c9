package edgevos.core

import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** Pixels of the image that one cell of a prompt, or of a probability, covers each way. */
const val MASK_STRIDE = 4

/** What the padding of an image holds. */
const val NEUTRAL = 127f

private const val MAX_BILINEAR_SHRINK = 2.25

/** A frame of the camera, upright: height x width pixels of four bytes, red first. */
class Frame(val size: Size, val rgba: ByteArray)

/**
 * How frames of one size lie in an image of another: centred, as large as they fit, their sides
 * rounded to whole cells. As `Letterbox` in runtime/preprocess.py.
 *
 * @property top row of the image, in pixels, at which the content starts.
 * @property left column of the image at which it starts.
 * @property content the size of the content in the image.
 */
class Letterbox(val frame: Size, val image: Size) {
    val content: Size
    val top: Int
    val left: Int

    init {
        val scale = min(image.height.toDouble() / frame.height, image.width.toDouble() / frame.width)
        fun fitted(side: Int, most: Int) =
            (round(side * scale / MASK_STRIDE).toInt() * MASK_STRIDE).coerceAtLeast(MASK_STRIDE).coerceAtMost(most)
        fun start(free: Int) = free / (2 * MASK_STRIDE) * MASK_STRIDE
        content = Size(fitted(frame.height, image.height), fitted(frame.width, image.width))
        top = start(image.height - content.height)
        left = start(image.width - content.width)
    }

    /**
     * Shrink a part of a picture into the content: bilinear samples, several where it shrinks much.
     *
     * @param view the part, of the size `frame`.
     * @param out (3, H, W) float32 in [0, 255], RGB; its padding must hold [NEUTRAL] already.
     */
    fun fill(picture: Frame, view: Box, out: FloatArray) {
        val shrink = max(frame.height.toDouble() / content.height, frame.width.toDouble() / content.width)
        val samples = max(1, ceil(shrink / MAX_BILINEAR_SHRINK).toInt())
        val count = samples * samples
        val bilinear = Samples(frame, Size(content.height * samples, content.width * samples))
        for (channel in 0 until 3) for (y in 0 until content.height) {
            val to = (channel * image.height + top + y) * image.width + left
            for (x in 0 until content.width) {
                var sum = 0
                for (i in 0 until samples) for (j in 0 until samples) {
                    sum += bilinear.at(y * samples + i, x * samples + j) { row, column ->
                        val pixel = (view.top + row) * picture.size.width + view.left + column
                        picture.rgba[4 * pixel + channel].toInt() and 0xff
                    }
                }
                out[to + x] = ((sum + count / 2) / count).toFloat()
            }
        }
    }

    /** @param cells (H/4, W/4) of the whole image, from `offset` on. @return the content's part. */
    fun crop(cells: FloatArray, offset: Int = 0): Plane {
        val part = Plane(content.height / MASK_STRIDE, content.width / MASK_STRIDE)
        for (y in 0 until part.height) {
            cells.copyInto(part.data, y * part.width, offset + cell(y), offset + cell(y) + part.width)
        }
        return part
    }

    /** @param image (3, H, W). @return the content's part of each colour. */
    internal fun pixels(image: FloatArray): List<Plane> = List(3) { channel ->
        val part = Plane(content.height, content.width)
        for (y in 0 until part.height) {
            val from = (channel * this.image.height + top + y) * this.image.width + left
            image.copyInto(part.data, y * part.width, from, from + part.width)
        }
        part
    }

    /** Write the content's part into cells (H/4, W/4) of the whole image, from `offset` on. */
    fun paste(part: Plane, cells: FloatArray, offset: Int) {
        for (y in 0 until part.height) {
            part.data.copyInto(cells, offset + cell(y), y * part.width, (y + 1) * part.width)
        }
    }

    /**
     * @param labels a label map of the frame's size.
     * @return the part of each of the content's cells that the label [id] covers, in [0, 1].
     */
    fun coverage(labels: ByteArray, id: Int): Plane {
        val one = Plane(frame.height, frame.width, FloatArray(labels.size) { if (labels[it].toInt() == id) 1f else 0f })
        return one.area(content.height / MASK_STRIDE, content.width / MASK_STRIDE)
    }

    /** Enlarge a map of the content, of whole numbers in [0, 255], to the frame's size, bilinearly. */
    internal fun enlarge(map: Plane): Plane {
        val bilinear = Samples(content, frame)
        return Plane(frame.height, frame.width).map { i ->
            bilinear.at(i / frame.width, i % frame.width) { y, x -> map.data[y * map.width + x].toInt() }.toFloat()
        }
    }

    /** The pixels of the frame that a part of the content's cells covers. */
    internal fun window(cells: Window): Window {
        val rows = content.height / MASK_STRIDE
        val columns = content.width / MASK_STRIDE
        return Window(
            cells.top * frame.height / rows, (cells.bottom * frame.height + rows - 1) / rows,
            cells.left * frame.width / columns, (cells.right * frame.width + columns - 1) / columns,
        )
    }

    private fun cell(row: Int) = (top / MASK_STRIDE + row) * (image.width / MASK_STRIDE) + left / MASK_STRIDE
}
