// The Android project's plain Kotlin, asked over a pipe by test_phone_apps.py, which is its engine.

package edgevos.check

import edgevos.core.Box
import edgevos.core.Engine
import edgevos.core.Frame
import edgevos.core.Manifest
import edgevos.core.Placement
import edgevos.core.PromptHead
import edgevos.core.Segmenter
import edgevos.core.Session
import edgevos.core.Size
import edgevos.core.overlay
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File
import java.nio.ByteBuffer

private val input = DataInputStream(System.`in`.buffered())
private val output = DataOutputStream(System.out.buffered())

private fun bytes(count: Int) = ByteArray(count).also(input::readFully)

private fun frame(): Frame {
    val size = Size(input.readInt(), input.readInt())
    return Frame(size, bytes(4 * size.height * size.width))
}

/** Asks the test for the outputs of graph number [graph]. */
private class Asking(private val graph: Int) : Engine {
    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        output.writeByte('E'.code)
        output.writeInt(graph)
        output.writeInt(inputs.size)
        for ((name, data) in inputs) {
            output.writeUTF(name)
            output.writeInt(data.size)
            output.write(ByteBuffer.allocate(4 * data.size).apply { asFloatBuffer().put(data) }.array())
        }
        output.flush()
        return List(input.readInt()) {
            val name = input.readUTF()
            val data = FloatArray(input.readInt())
            ByteBuffer.wrap(bytes(4 * data.size)).asFloatBuffer().get(data)
            name to data
        }.toMap()
    }

    override fun close() = Unit
}

private fun tell(kind: Char, numbers: List<Int>, data: ByteArray) {
    output.writeByte(kind.code)
    output.writeInt(numbers.size)
    numbers.forEach(output::writeInt)
    output.writeInt(data.size)
    output.write(data)
    output.flush()
}

fun main(arguments: Array<String>) {
    val manifest = Manifest.read(File(arguments[0]).readText())
    val segmenter = Segmenter(manifest, Asking(0))
    val head = PromptHead(manifest.promptHead!!, Asking(1))
    val session = Session(Segmenter(manifest, Asking(0)), head)
    while (true) {
        when (input.readByte().toInt().toChar()) {
            'S' -> {
                val frame = frame()
                val given = if (input.readBoolean()) bytes(frame.size.height * frame.size.width) else null
                val found = segmenter.step(frame, given)
                val (left, top, width, height) = found.view
                val states = found.confidence.flatMap { (id, sure) -> listOf(id, sure.toRawBits()) }
                tell('S', listOf(left, top, width, height) + states, found.labels)
            }
            'b' -> session.showBox(Box(input.readInt(), input.readInt(), input.readInt(), input.readInt()))
            't' -> session.showTap(input.readInt(), input.readInt())
            'd' -> session.dropLast()
            'r' -> session.reset()
            'n' -> {
                val frame = frame()
                val told = try {
                    session.step(frame)?.confidence?.keys?.joinToString() ?: "nothing"
                } catch (error: IllegalStateException) {
                    error.message!!
                }
                tell('N', listOf(), told.encodeToByteArray())
            }
            'D' -> segmenter.drop(input.readInt())
            'R' -> segmenter.reset()
            'B' -> {
                val frame = frame()
                val box = Box(input.readInt(), input.readInt(), input.readInt(), input.readInt())
                tell('M', listOf(), head.inBox(frame, box))
            }
            'T' -> {
                val frame = frame()
                tell('M', listOf(), head.at(frame, input.readInt(), input.readInt()))
            }
            'P' -> {
                val place = Placement(Size(input.readInt(), input.readInt()), input.readInt(), input.readInt(), input.readBoolean())
                val (x, y) = place.pixel(input.readInt().toFloat(), input.readInt().toFloat())
                tell('P', listOf(x, y), ByteArray(0))
            }
            'O' -> tell('O', overlay(bytes(input.readInt())).toList(), ByteArray(0))
            'I' -> tell('I', segmenter.objects + listOf(segmenter.freeId() ?: -1), ByteArray(0))
            else -> return
        }
    }
}
