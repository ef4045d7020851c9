package android.content

import android.content.res.AssetManager
import java.util.concurrent.Executor

abstract class Context {
    val assets: AssetManager get() = TODO()
    val mainExecutor: Executor get() = TODO()

    fun <T> getSystemService(kind: Class<T>): T = TODO()
}
