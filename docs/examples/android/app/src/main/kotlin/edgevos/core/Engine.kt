package edgevos.core

/** A loaded graph: named arrays in, named arrays out, all of them float32 in row-major order. */
interface Engine : AutoCloseable {
    /**
     * @param inputs every input of the graph by name; they are read, not kept.
     * @return every output by name, in arrays of its own.
     */
    fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray>
}
