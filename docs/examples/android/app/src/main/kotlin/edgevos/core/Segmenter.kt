package edgevos.core

/**
 * What is known of a frame.
 *
 * @property view the part of the frame that the network looked at.
 * @property labels object ids of the frame's size, 0 for the background.
 * @property confidence in [0, 1] of every object; 0 for one that is not seen.
 * @property inferMs milliseconds that the network took for the view.
 */
class FrameResult(
    val view: Box,
    val labels: ByteArray,
    val confidence: Map<Int, Float>,
    val inferMs: Double,
)

/**
 * Follow objects through a video: one call a frame, from one thread. As runtime/segmenter.py, but
 * for `presence`, which takes masks away from what no longer looks like its object.
 */
class Segmenter(private val manifest: Manifest, private val engine: Engine) {
    private val specs = manifest.step.inputs.associateBy { it.name }
    private val channels = specs.getValue("prompt").shape[1]
    private val cells = specs.getValue("prompt").count / channels
    private val memory =
        MemoryBank(specs.getValue("memory_key"), specs.getValue("memory_value"), channels, manifest)
    private val inputs = specs.mapValues { (_, spec) -> FloatArray(spec.count) } + mapOf(
        "memory_key" to memory.key, "memory_value" to memory.value, "memory_valid" to memory.valid,
    )
    private val living = sortedSetOf<Int>()
    private val zoom = Zoom(manifest.step.size)
    private var content: Size? = null // of the image: what is no padding
    private var frameIndex = 0

    /** The ids that are followed, ascending. */
    val objects: List<Int> get() = living.toList()

    /** An id that is not in use, or null when all are. */
    fun freeId(): Int? = (1 until channels).firstOrNull { it !in living }

    /** Forget an object; with the last one memory is emptied. */
    fun drop(id: Int) {
        if (!living.remove(id)) return
        memory.forget(id)
        if (living.isEmpty()) memory.clear()
    }

    /** Forget all objects and frames. */
    fun reset() {
        memory.clear()
        living.clear()
        zoom.clear()
        frameIndex = 0
    }

    /**
     * Find all objects in the next frame.
     *
     * @param given a label map of the frame's size: the masks that are given in this frame, or null.
     */
    fun step(frame: Frame, given: ByteArray? = null): FrameResult {
        val ids = given?.toSet().orEmpty().map { it.toInt() }.filter { it != 0 }.toSet()
        living += ids
        check(living.isNotEmpty()) { "there is nothing to follow: give a mask first" }
        val shown = given?.let { boxAround(it, frame.size) }
        val view = zoom.view(frame.size, shown, anew = ids == living)
        val wide = lookWide(frame, view, given, ids)
        val letterbox = look(frame, view)
        setPrompt(letterbox, given?.let { view.of(it, frame.size) }, ids)
        val start = System.nanoTime()
        val outputs = engine.run(inputs)
        val inferMs = (System.nanoTime() - start) / 1e6
        val probability = outputs.getValue("probability")
        val maps = (listOf(0) + living).associateWith { letterbox.crop(probability, it * cells) }
        val labels = view.placed(label(maps, letterbox, inputs.getValue("image")), frame.size)
        val confidence = confidence(maps, labels)
        val isLost = confidence.values.any { it == 0f }
        val found = if (isLost) null else boxAround(labels, frame.size)
        zoom.update(view, found, confidence.keys, frame.size, isShown = ids.isNotEmpty())
        memory.write(outputs.getValue("key"), outputs.getValue("value"), frameIndex++, confidence, ids, wide)
        return FrameResult(view, labels, confidence, inferMs)
    }

    /**
     * Look at a whole frame in which something is shown and of which the view is a part: what is lost is
     * searched for in whole frames, so memory has to know what lies outside the view.
     *
     * @return key and value, or null for no such frame.
     */
    private fun lookWide(frame: Frame, view: Box, given: ByteArray?, ids: Set<Int>): Pair<FloatArray, FloatArray>? {
        val whole = Box.whole(frame.size)
        if (ids.isEmpty() || view == whole) return null
        setPrompt(look(frame, whole), given, ids)
        val outputs = engine.run(inputs)
        return outputs.getValue("key") to outputs.getValue("value")
    }

    /** Put a part of the frame into the network's image. */
    private fun look(frame: Frame, view: Box): Letterbox {
        val image = inputs.getValue("image")
        val letterbox = Letterbox(view.size, manifest.step.size)
        if (letterbox.content != content) image.fill(NEUTRAL)
        content = letterbox.content
        letterbox.fill(frame, view, image)
        return letterbox
    }

    private fun setPrompt(letterbox: Letterbox, given: ByteArray?, ids: Set<Int>) {
        val prompt = inputs.getValue("prompt").apply { fill(0f) }
        val prompted = inputs.getValue("prompted").apply { fill(0f) }
        val active = inputs.getValue("active").apply { fill(0f) }
        for (id in living + 0) active[id] = 1f
        if (given == null || ids.isEmpty()) return
        prompt.fill(1f, 0, cells)
        val background = letterbox.crop(prompt)
        for (id in ids) {
            val part = letterbox.coverage(given, id)
            letterbox.paste(part, prompt, id * cells)
            for (i in part.data.indices) background.data[i] = maxOf(background.data[i] - part.data[i], 0f)
            prompted[id] = 1f
        }
        letterbox.paste(background, prompt, 0)
        // The background is given only where nothing else can be there.
        if (ids == living && memory.valid.all { it == 0f }) prompted[0] = 1f
    }

    /** The mean probability of each object over the cells where it is the likeliest; 0 where it has no pixel. */
    private fun confidence(maps: Map<Int, Plane>, labels: ByteArray): Map<Int, Float> = living.associateWith { id ->
        val own = maps.getValue(id).data
        val cells = own.indices.filter { i -> maps.values.all { own[i] >= it.data[i] } }
        val isSeen = cells.isNotEmpty() && labels.any { it.toInt() == id }
        if (isSeen) cells.sumOf { own[it].toDouble() }.div(cells.size).toFloat() else 0f
    }
}
