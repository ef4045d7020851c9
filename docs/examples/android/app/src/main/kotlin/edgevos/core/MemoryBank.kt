package edgevos.core

/** After so many frames in which no object was seen, the previous frame is not remembered. */
const val FORGET_FRAMES = 30

private const val REFERENCE = 0
private const val PREVIOUS = 1

/**
 * Keep entries of past frames in N slots, as runtime/memory.py, which says why.
 *
 * Slot 0 is a reference, slot 1 the previous frame, the rest a ring. A frame with a given mask is a
 * reference and stays; when there are more than N - 2 of them, one that no object depends on gives way.
 * Where the newest is a part of its frame, a slot of the ring holds all of that frame, if there is one.
 *
 * @property key (N, Ck, h, w). @property value (N, Cv, h, w). @property valid (N, 1, 1, 1), 0 for an empty slot.
 */
class MemoryBank(key: TensorSpec, value: TensorSpec, private val channels: Int, private val manifest: Manifest) {
    val key = FloatArray(key.count)
    val value = FloatArray(value.count)
    val valid = FloatArray(key.shape[0])
    private val slots = valid.size
    private val part = value.count / slots / channels // of one slot's value: what belongs to one channel
    private val written = mutableMapOf<Int, Int>() // slot to frame
    private val home = mutableMapOf<Int, Int>() // object to the slot of the reference that it depends on
    private val references = mutableSetOf<Int>()
    private var wideSlot: Int? = null // of the newest reference's whole frame
    private var blank: FloatArray? = null // what memory holds of an object that is nowhere
    private val forgotten = mutableSetOf<Int>() // to be blanked
    private var lastKept = 0
    private var unseen = 0

    init {
        require(slots >= 2) { "a memory of $slots slots; at least 2 are needed" }
    }

    /** Empty every slot. */
    fun clear() {
        valid.fill(0f)
        written.clear()
        home.clear()
        references.clear()
        wideSlot = null
        forgotten.clear()
        unseen = 0
    }

    /** Blank an object that is no longer followed, so that its id can be given out again. */
    fun forget(id: Int) {
        forgotten += id
        blankForgotten()
    }

    /**
     * Store a frame's entry where it belongs.
     *
     * @param confidence of every object that is followed, in [0, 1]; 0 for one that is not seen.
     * @param given the objects whose masks were given in this frame.
     * @param wide key and value of the whole frame, where these are a part's in which something was given.
     */
    fun write(
        key: FloatArray,
        value: FloatArray,
        frame: Int,
        confidence: Map<Int, Float>,
        given: Set<Int>,
        wide: Pair<FloatArray, FloatArray>?,
    ) {
        home.keys.retainAll { it in confidence && it !in given }
        if (blank == null) (1 until channels).firstOrNull { it !in confidence }?.let {
            blank = value.copyOfRange(it * part, (it + 1) * part)
        }
        blankForgotten()
        forgotten -= confidence.keys
        unseen = if (given.isNotEmpty() || confidence.values.any { it > 0f }) 0 else unseen + 1
        if (unseen < FORGET_FRAMES) {
            put(PREVIOUS, key, value, frame)
        } else {
            valid[PREVIOUS] = 0f
            written -= PREVIOUS
        }
        if (given.isNotEmpty()) wideSlot = null
        val kept =
            if (given.isEmpty()) ringSlot(frame, confidence) else referenceSlot(confidence, isPart = wide != null)
        if (kept != null) {
            lastKept = frame
            if (given.isNotEmpty()) {
                references += kept
                for (id in given) home[id] = kept
            }
            put(kept, key, value, frame)
        }
        if (wide != null) ring().firstOrNull()?.let { slot ->
            wideSlot = slot
            put(slot, wide.first, wide.second, frame)
        }
    }

    private fun put(slot: Int, key: FloatArray, value: FloatArray, frame: Int) {
        key.copyInto(this.key, slot * key.size)
        value.copyInto(this.value, slot * value.size)
        valid[slot] = 1f
        written[slot] = frame
    }

    private fun blankForgotten() {
        val nothing = blank ?: return
        for (id in forgotten) for (slot in 0 until slots) nothing.copyInto(value, (slot * channels + id) * part)
        forgotten.clear()
    }

    /** The ring's slots that hold no reference, empty ones first, then oldest first. */
    private fun ring() = (2 until slots).filter { it !in references && it != wideSlot }.sortedBy { written[it] ?: -1 }

    private fun ringSlot(frame: Int, confidence: Map<Int, Float>): Int? {
        val least = confidence.values.filter { it > 0f }.minOrNull() ?: return null
        val isDue = frame - lastKept >= manifest.memEvery
        return if (isDue && least >= manifest.writeConfidence) ring().firstOrNull() else null
    }

    private fun referenceSlot(confidence: Map<Int, Float>, isPart: Boolean): Int? {
        if (REFERENCE !in references) return REFERENCE
        val oldestFirst = references.sortedBy { written[it] }
        if (oldestFirst.size >= maxOf(1, slots - 2 - (if (isPart) 1 else 0))) {
            oldestFirst.firstOrNull { it !in home.values }?.let { return it }
        }
        ring().firstOrNull()?.let { return it }
        // Every slot is a reference that is needed: one goes whose objects this frame shows well.
        return oldestFirst.firstOrNull { slot ->
            home.filterValues { it == slot }.keys.all { (confidence[it] ?: 0f) >= manifest.writeConfidence }
        }
    }
}
