package edgevos.core

/** Height and width in pixels. */
data class Size(val height: Int, val width: Int)

/** One input or output: its name in the graph and its shape. All are float32. */
class TensorSpec(val name: String, val shape: List<Int>) {
    val count: Int get() = shape.fold(1) { product, side -> product * side }
}

/** A graph of the bundle: where its file lies in it, the size of its image, what goes in and out. */
class Graph(val file: String, val size: Size, val inputs: List<TensorSpec>, val outputs: List<TensorSpec>)

/**
 * What a bundle says of itself in manifest.json.
 *
 * @property step the graph that is called for each frame.
 * @property promptHead the graph that makes a mask of a box or a tap; null in a bundle without.
 * @property memEvery frames between two entries in the ring of memory slots.
 * @property writeConfidence in [0, 1]: what an object needs at least to be written there.
 */
class Manifest(
    val step: Graph,
    val promptHead: Graph?,
    val memEvery: Int,
    val writeConfidence: Float,
) {
    companion object {
        /** @param text the content of manifest.json. */
        @Suppress("UNCHECKED_CAST")
        fun read(text: String): Manifest {
            val all = Json.read(text) as Map<String, Any?>
            val memory = all["memory"] as Map<String, Any?>
            val step = Graph(all["model_file"] as String, size(all), specs(all["inputs"]), specs(all["outputs"]))
            val head = (all["prompt_head"] as Map<String, Any?>?)?.let {
                promptGraph(it["model_file"] as String, size(it))
            }
            val memEvery = number(memory["mem_every"]).toInt()
            return Manifest(step, head, memEvery, number(memory["write_confidence"]).toFloat())
        }

        private fun number(value: Any?): Double = value as Double

        private fun sides(value: Any?): List<Int> = (value as List<*>).map { number(it).toInt() }

        private fun size(graph: Map<String, Any?>): Size = sides(graph["size"]).let { Size(it[0], it[1]) }

        private fun specs(value: Any?): List<TensorSpec> = (value as List<*>).map {
            val spec = it as Map<*, *>
            check(spec["dtype"] == "float32") { "${spec["name"]} is ${spec["dtype"]}, float32 was expected" }
            TensorSpec(spec["name"] as String, sides(spec["shape"]))
        }

        /** The manifest names the prompt head's file and size; its tensors are always these. */
        private fun promptGraph(file: String, size: Size): Graph {
            val cells = listOf(size.height / MASK_STRIDE, size.width / MASK_STRIDE)
            val inputs = listOf(
                TensorSpec("image", listOf(1, 3, size.height, size.width)),
                TensorSpec("prompt", listOf(1, 4) + cells),
            )
            return Graph(file, size, inputs, listOf(TensorSpec("probability", listOf(1, 1) + cells)))
        }
    }
}
