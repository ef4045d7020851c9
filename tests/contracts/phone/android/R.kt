package edgevos.app

object R {
    object layout {
        const val main = 0
    }

    object id {
        const val overlay = 0
        const val status = 1
        const val flip = 2
        const val drop = 3
        const val reset = 4
    }
}
