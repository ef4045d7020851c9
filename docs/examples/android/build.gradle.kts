// Gradle 8.13 and JDK 17. LiteRT's classes need Kotlin 2.3, which needs this plugin's 8.13.2.
plugins {
    id("com.android.application") version "8.13.2" apply false
    id("org.jetbrains.kotlin.android") version "2.3.21" apply false
}
