package edgevos.app

import android.Manifest.permission.CAMERA
import android.graphics.Bitmap
import android.hardware.display.DisplayManager
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.widget.Button
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.lifecycle.ProcessCameraProvider
import edgevos.core.Engine
import edgevos.core.Frame
import edgevos.core.FrameResult
import edgevos.core.Graph
import edgevos.core.Manifest
import edgevos.core.PromptHead
import edgevos.core.Segmenter
import edgevos.core.Session
import edgevos.core.Size
import edgevos.core.overlay
import java.nio.ByteBuffer
import java.util.concurrent.Executors

/** The bundle's folder in the assets. */
private const val BUNDLE = "bundle"

private const val HINT = "Tap an object, or drag a box around it"

/** A phone's fast cores; the camera and the screen need the others. */
private const val THREADS = 4

/** The camera's frames with the masks of what is followed in them. */
class MainActivity : ComponentActivity(), DisplayManager.DisplayListener {
    private val worker = Executors.newSingleThreadExecutor() // the session lives in its thread
    private val engines = mutableListOf<Engine>()
    private var session: Session? = null
    private lateinit var view: OverlayView
    private lateinit var status: TextView
    private var analysis: ImageAnalysis? = null
    private var isFront = false
    private val permission = registerForActivityResult(ActivityResultContracts.RequestPermission()) { isGiven ->
        if (isGiven) start() else status.text = "Without the camera there is nothing to see."
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        view = findViewById(R.id.overlay)
        status = findViewById(R.id.status)
        view.onBox = { box -> ask { it.showBox(box) } }
        view.onTap = { x, y -> ask { it.showTap(x, y) } }
        findViewById<Button>(R.id.drop).setOnClickListener { ask { it.dropLast() } }
        findViewById<Button>(R.id.reset).setOnClickListener { ask { it.reset() } }
        findViewById<Button>(R.id.flip).setOnClickListener {
            isFront = !isFront
            ask { it.reset() }
            start()
        }
        getSystemService(DisplayManager::class.java).registerDisplayListener(this, Handler(Looper.getMainLooper()))
        worker.execute { attempt { session = load() } }
        permission.launch(CAMERA)
    }

    override fun onDestroy() {
        getSystemService(DisplayManager::class.java).unregisterDisplayListener(this)
        worker.execute { engines.forEach { it.close() } }
        worker.shutdown()
        super.onDestroy()
    }

    private fun load(): Session {
        val manifest = Manifest.read(assets.open("$BUNDLE/manifest.json").bufferedReader().use { it.readText() })
        fun engine(graph: Graph) = LiteRtEngine(assets, BUNDLE, graph, THREADS).also { engines += it }
        val head = manifest.promptHead?.let { PromptHead(it, engine(it)) }
        return Session(Segmenter(manifest, engine(manifest.step)), head)
    }

    private fun ask(action: (Session) -> Unit) = worker.execute { attempt { session?.let(action) } }

    /** Do something in the worker's thread, and say what went wrong. */
    private fun attempt(action: () -> Unit) {
        try {
            action()
        } catch (error: Exception) {
            runOnUiThread { status.text = error.message ?: error.toString() }
        }
    }

    private fun start() {
        val asked = ProcessCameraProvider.getInstance(this)
        asked.addListener({ bind(asked.get()) }, { action -> runOnUiThread(action) })
    }

    private fun bind(provider: ProcessCameraProvider) {
        val camera = if (isFront) CameraSelector.DEFAULT_FRONT_CAMERA else CameraSelector.DEFAULT_BACK_CAMERA
        if (!provider.hasCamera(camera)) {
            status.text = "There is no such camera."
            return
        }
        val isMirrored = isFront
        val frames = ImageAnalysis.Builder()
            .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
            .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
            .setOutputImageRotationEnabled(true)
            .build()
        frames.setAnalyzer(worker) { image -> image.use { attempt { analyze(it, isMirrored) } } }
        provider.unbindAll()
        provider.bindToLifecycle(this, camera, frames)
        analysis = frames
    }

    private fun analyze(image: ImageProxy, isMirrored: Boolean) {
        val start = System.nanoTime()
        val frame = image.frame()
        val result = session?.step(frame)
        val picture = Bitmap.createBitmap(frame.size.width, frame.size.height, Bitmap.Config.ARGB_8888)
        picture.copyPixelsFromBuffer(ByteBuffer.wrap(frame.rgba))
        val mask = result?.let {
            Bitmap.createBitmap(overlay(it.labels), picture.width, picture.height, Bitmap.Config.ARGB_8888)
        }
        val totalMs = (System.nanoTime() - start) / 1e6
        runOnUiThread {
            view.show(picture, mask, isMirrored)
            status.text = result?.let { describe(it, totalMs) } ?: HINT
        }
    }

    private fun describe(result: FrameResult, totalMs: Double): String {
        val objects = result.confidence.entries.joinToString { (id, sure) ->
            if (sure > 0f) "$id: ${(100 * sure).toInt()} %" else "$id: lost"
        }
        return "%.0f ms, network %.0f ms\n%s".format(totalMs, result.inferMs, objects)
    }

    override fun onDisplayChanged(displayId: Int) {
        view.display?.let { analysis?.targetRotation = it.rotation }
    }

    override fun onDisplayAdded(displayId: Int) = Unit

    override fun onDisplayRemoved(displayId: Int) = Unit
}

/** Copy an upright picture out of the camera's buffer, whose rows may be longer. */
private fun ImageProxy.frame(): Frame {
    val plane = planes[0]
    val rgba = ByteArray(4 * width * height)
    for (row in 0 until height) {
        plane.buffer.position(row * plane.rowStride)
        plane.buffer.get(rgba, 4 * width * row, 4 * width)
    }
    return Frame(Size(height, width), rgba)
}
