package edgevos.app

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import edgevos.core.Engine
import edgevos.core.Graph

/** The signature that the converter gives to a bundle's graphs. */
private const val SIGNATURE = "serving_default"

/**
 * A graph of a bundle in LiteRT, on the CPU.
 *
 * @param folder the bundle's, in the assets.
 * @param threads for one call.
 */
class LiteRtEngine(assets: AssetManager, folder: String, graph: Graph, threads: Int) : Engine {
    private val model = CompiledModel.create(
        assets,
        "$folder/${graph.file}",
        CompiledModel.Options(Accelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
        },
    )
    private val given = graph.inputs.associate { it.name to model.createInputBuffer(it.name, SIGNATURE) }
    private val found = graph.outputs.associate { it.name to model.createOutputBuffer(it.name, SIGNATURE) }

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        for ((name, buffer) in given) buffer.writeFloat(inputs.getValue(name))
        model.run(given, found, SIGNATURE)
        return found.mapValues { (_, buffer) -> buffer.readFloat() }
    }

    override fun close() {
        for (buffer in given.values + found.values) buffer.close()
        model.close()
    }
}
