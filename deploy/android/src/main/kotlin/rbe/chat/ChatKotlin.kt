// ChatKotlin.kt - Chat for Kotlin; the standard library is enough.
//
// SPDX-License-Identifier: MIT
package rbe.chat

import java.util.concurrent.ExecutionException
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlin.coroutines.suspendCoroutine

/** chatOf("model.rbe") { threads = 4; context = 256 } */
fun chatOf(model: String, how: ChatConfig.() -> Unit = {}): Chat {
    val chat = Chat()
    try {
        chat.initialize(model, ChatConfig().apply(how))
    } catch (e: Exception) {
        chat.close()
        throw e
    }
    return chat
}

/** The answer, made on the conversation's own thread, where onText hears it. */
suspend fun Chat.answer(
    question: String,
    onStats: (String) -> Unit = {},
    onText: (String) -> Boolean = { true }
): String = suspendCoroutine { rest ->
    val whole = StringBuilder()
    submit(question, object : ChatListener {
        override fun onText(piece: String): Boolean {
            whole.append(piece)
            return onText(piece)
        }

        override fun onStats(json: String) {
            onStats(json)
            rest.resume(whole.toString())
        }

        override fun onError(why: Exception) {
            val error = if (why is ExecutionException) why.cause else null
            rest.resumeWithException(error as? Error ?: why)
        }
    })
}
