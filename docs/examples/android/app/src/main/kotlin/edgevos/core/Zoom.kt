package edgevos.core

import kotlin.math.max
import kotlin.math.min

/** How much of the view's height or width the objects should fill. */
private const val FILL = 0.7

/** The view is at least as high as this part of the network's image; smaller ones only blur. */
private const val SMALLEST = 0.6

/** The most that the view's height changes from one frame to the next. */
private const val GROW = 1.1
private const val SHRINK = 0.98

/** The gains of an alpha-beta filter: of a place, and of its motion between frames. */
private const val FOLLOW = 0.4
private const val SPEED = 0.1

private const val NEARLY_WHOLE = 0.98

/**
 * Follow the objects with a view; the whole frame is searched while one of them is lost. As
 * runtime/objects/zoom.py, which says why.
 *
 * @param image the size of the network's image.
 */
internal class Zoom(private val image: Size) {
    private var frame = Size(0, 0)
    private var box: Box? = null // around all objects; null where one is lost
    private var ids = emptySet<Int>() // of them
    private var height = 0.0 // of the view, in pixels
    private var across = Track(0.0)
    private var down = Track(0.0)

    /** Begin with the whole frame. */
    fun clear() {
        box = null
        height = 0.0
    }

    /**
     * @param shown a box around what the user shows in the next frame; null for nothing.
     * @param anew whether that is all there is.
     * @return the part of that frame to look at.
     */
    fun view(frame: Size, shown: Box?, anew: Boolean): Box {
        if (shown != null && anew) return viewAt(shown.centreX, shown.centreY, heightFor(shown, frame), frame)
        val box = box
        if (box == null || frame != this.frame) return Box.whole(frame)
        if (shown == null) return viewAt(across.next, down.next, height, frame)
        val both = box.joined(shown)
        return viewAt(both.centreX, both.centreY, max(height, heightFor(both, frame)), frame)
    }

    /**
     * Take what was found.
     *
     * @param view the part of the frame that was looked at.
     * @param found the box around all objects; null if one of them is lost.
     * @param ids of all objects.
     * @param isShown whether the user showed something in this frame, perhaps far from all before.
     */
    fun update(view: Box, found: Box?, ids: Set<Int>, frame: Size, isShown: Boolean) {
        if (found == null || frame != this.frame) clear()
        this.frame = frame
        if (found == null) return
        resize(view, found)
        if (box == null || isShown || ids != this.ids) {
            across = Track(found.centreX)
            down = Track(found.centreY)
        } else {
            across.follow(found.centreX)
            down.follow(found.centreY)
        }
        box = found
        this.ids = ids
    }

    private fun resize(view: Box, found: Box) {
        val whole = heightOf(frame)
        val before = when {
            view != Box.whole(frame) -> heightOf(view.size)
            height > 0 -> height
            else -> whole
        }
        var wanted = heightFor(found, frame)
        if (view.cuts(found, frame)) wanted = max(wanted, before * GROW)
        height = minOf(max(wanted, before * SHRINK), before * GROW, whole)
    }

    /** How high a view is, in pixels, of which a box fills [FILL] in height or width. */
    private fun heightFor(box: Box, frame: Size) =
        min(max(heightOf(box.size) / FILL, SMALLEST * image.height), heightOf(frame))

    /** A view of the network's aspect ratio, as far as the frame reaches; what is nearly all of it is all. */
    private fun viewAt(x: Double, y: Double, height: Double, frame: Size): Box {
        if (height >= NEARLY_WHOLE * heightOf(frame)) return Box.whole(frame)
        return Box.at(x, y, height, height * image.width / image.height, frame)
    }

    /** The height of what has the network's aspect ratio and holds so much. */
    private fun heightOf(size: Size) = max(size.height.toDouble(), size.width * image.height.toDouble() / image.width)
}

/** An alpha-beta filter of one coordinate. */
private class Track(private var place: Double) {
    private var motion = 0.0

    /** Where it will be in the next frame. */
    val next get() = place + motion

    fun follow(seen: Double) {
        val missed = seen - next
        place = next + FOLLOW * missed
        motion += SPEED * missed
    }
}
