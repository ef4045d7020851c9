package edgevos.core

/** Read JSON into Map, List, String, Double, Boolean and null: enough for a manifest. */
internal class Json private constructor(private val text: String) {
    private var at = 0

    private fun value(): Any? = when (val first = next()) {
        '{' -> buildMap<String, Any?> { members('}') { put(string(), run { expect(':'); value() }) } }
        '[' -> buildList<Any?> { members(']') { add(value()) } }
        '"' -> string()
        else -> word().let { word ->
            when (word) {
                "true" -> true
                "false" -> false
                "null" -> null
                else -> word.toDoubleOrNull() ?: error("JSON: '$first' at $at")
            }
        }
    }

    private fun next(): Char {
        while (text[at].isWhitespace()) at++
        return text[at]
    }

    private fun expect(wanted: Char) {
        check(next() == wanted) { "JSON: '$wanted' expected at $at" }
        at++
    }

    private fun members(end: Char, one: () -> Unit) {
        at++
        while (next() != end) {
            one()
            if (next() == ',') at++
        }
        at++
    }

    private fun string(): String = buildString {
        expect('"')
        while (text[at] != '"') {
            if (text[at] != '\\') {
                append(text[at++])
                continue
            }
            when (val escaped = text[at + 1]) {
                'u' -> append(text.substring(at + 2, at + 6).toInt(16).toChar()).also { at += 4 }
                else -> append("\b\u000C\n\r\t".getOrElse("bfnrt".indexOf(escaped)) { escaped })
            }
            at += 2
        }
        at++
    }

    private fun word(): String {
        val start = at
        while (at < text.length && (text[at].isLetterOrDigit() || text[at] in "+-.")) at++
        return text.substring(start, at)
    }

    companion object {
        fun read(text: String): Any? = Json(text).value()
    }
}
