package edgevos.core

/**
 * What is known of a frame.
 *
 * @property letterbox how the frame lies in the network's image.
 * @property labels object ids of the content's size (a pixel of the image each), 0 for the background.
 * @property confidence in [0, 1] of every object; 0 for one that is not seen.
 * @property inferMs milliseconds that the network took.
 */
class FrameResult(
    val letterbox: Letterbox,
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
    private var letterbox: Letterbox? = null
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
        val letterbox = fit(frame)
        setPrompt(letterbox, given, ids)
        val start = System.nanoTime()
        val outputs = engine.run(inputs)
        val inferMs = (System.nanoTime() - start) / 1e6
        val probability = outputs.getValue("probability")
        val maps = (listOf(0) + living).associateWith { letterbox.crop(probability, it * cells) }
        val labels = label(maps, letterbox, inputs.getValue("image"))
        val confidence = confidence(maps, labels)
        memory.write(outputs.getValue("key"), outputs.getValue("value"), frameIndex++, confidence, ids)
        return FrameResult(letterbox, labels, confidence, inferMs)
    }

    private fun fit(frame: Frame): Letterbox {
        val image = inputs.getValue("image")
        val fitting = letterbox?.takeIf { it.frame == frame.size }
            ?: Letterbox(frame.size, manifest.step.size).also { image.fill(NEUTRAL) }
        fitting.fill(frame, image)
        letterbox = fitting
        return fitting
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
