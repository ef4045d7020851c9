package edgevos.core

/**
 * What a user and a camera do to a [Segmenter]: shows objects, drops them, brings frames. All of it
 * from one thread.
 *
 * @param head makes masks of boxes and taps; without one a box is itself the mask, and taps are refused.
 */
class Session(private val segmenter: Segmenter, private val head: PromptHead?) {
    private var shown: Box? = null
    private var isTap = false

    /** Show a new object in the next frame: a box around it, in pixels of the frame. */
    fun showBox(box: Box) {
        shown = box
        isTap = false
    }

    /** Show a new object in the next frame: one pixel (x, y) of it. */
    fun showTap(x: Int, y: Int) {
        shown = Box(x, y, 1, 1)
        isTap = true
    }

    /** Forget the object that was shown last. */
    fun dropLast() = segmenter.objects.lastOrNull()?.let(segmenter::drop)

    /** Forget everything. */
    fun reset() {
        shown = null
        segmenter.reset()
    }

    /** @return what the frame shows, or null while nothing is followed. */
    fun step(frame: Frame): FrameResult? {
        val mask = shown?.let { box ->
            shown = null
            labels(frame, box)
        }
        return if (mask == null && segmenter.objects.isEmpty()) null else segmenter.step(frame, mask)
    }

    private fun labels(frame: Frame, box: Box): ByteArray {
        val id = checkNotNull(segmenter.freeId()) { "All objects are in use: drop one first." }
        check(head != null || !isTap) { "This bundle has no prompt head: drag a box." }
        val found = when {
            head == null -> filled(frame.size, box)
            isTap -> head.at(frame, box.left, box.top)
            else -> head.inBox(frame, box)
        }
        check(found.any { it.toInt() != 0 }) { "No object was found there: drag another box." }
        return ByteArray(found.size) { if (found[it].toInt() == 0) 0 else id.toByte() }
    }
}

private fun filled(size: Size, box: Box): ByteArray {
    val mask = ByteArray(size.height * size.width)
    for (y in box.top until minOf(box.top + box.height, size.height)) {
        mask.fill(1, y * size.width + box.left, y * size.width + minOf(box.left + box.width, size.width))
    }
    return mask
}
