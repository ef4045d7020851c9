package android.os

class Bundle

class Looper private constructor() {
    companion object {
        fun getMainLooper(): Looper = TODO()
    }
}

class Handler(looper: Looper)
