package androidx.camera.lifecycle

import android.content.Context
import androidx.camera.core.Camera
import androidx.camera.core.CameraSelector
import androidx.camera.core.UseCase
import androidx.lifecycle.LifecycleOwner
import com.google.common.util.concurrent.ListenableFuture

class ProcessCameraProvider {
    fun hasCamera(selector: CameraSelector): Boolean = TODO()

    fun unbindAll(): Unit = TODO()

    fun bindToLifecycle(owner: LifecycleOwner, selector: CameraSelector, vararg useCases: UseCase?): Camera = TODO()

    companion object {
        fun getInstance(context: Context): ListenableFuture<ProcessCameraProvider> = TODO()
    }
}
