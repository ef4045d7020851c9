package android.content

import android.content.res.AssetManager

abstract class Context {
    val assets: AssetManager get() = TODO()

    fun <T> getSystemService(kind: Class<T>): T = TODO()
}
