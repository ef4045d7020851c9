package androidx.activity.result

abstract class ActivityResultLauncher<I> {
    fun launch(input: I): Unit = TODO()
}
