package androidx.camera.core

import java.nio.ByteBuffer
import java.util.concurrent.Executor

abstract class UseCase

class Camera

class CameraSelector {
    companion object {
        val DEFAULT_FRONT_CAMERA: CameraSelector get() = TODO()
        val DEFAULT_BACK_CAMERA: CameraSelector get() = TODO()
    }
}

interface ImageProxy : AutoCloseable {
    interface PlaneProxy {
        val buffer: ByteBuffer
        val rowStride: Int
    }

    val planes: Array<PlaneProxy>
    val width: Int
    val height: Int
}

class ImageAnalysis : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    class Builder {
        fun setBackpressureStrategy(strategy: Int): Builder = TODO()

        fun setOutputImageFormat(format: Int): Builder = TODO()

        fun setOutputImageRotationEnabled(isEnabled: Boolean): Builder = TODO()

        fun build(): ImageAnalysis = TODO()
    }

    var targetRotation = 0

    fun setAnalyzer(executor: Executor, analyzer: Analyzer): Unit = TODO()

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST = 0
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
    }
}
