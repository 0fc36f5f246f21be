// CheckKotlin.kt - the Kotlin face: an answer in pieces, and what goes wrong, as a suspend function has it.
//
// SPDX-License-Identifier: MIT
//
// Arguments: a model, its tokenizer's folder.
package rbe.chat

import java.util.concurrent.CountDownLatch
import kotlin.coroutines.Continuation
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.coroutines.startCoroutine
import kotlin.system.exitProcess

/** Waits for it, as a coroutine library would without holding this thread up. */
private fun <T> await(block: suspend () -> T): Result<T> {
    val ended = CountDownLatch(1)
    var result: Result<T>? = null

    block.startCoroutine(Continuation(EmptyCoroutineContext) {
        result = it
        ended.countDown()
    })
    ended.await()
    return result!!
}

fun main(args: Array<String>) {
    var failed = 0
    fun that(ok: Boolean, what: String) {
        if (!ok) {
            println("FAIL $what")
            failed++
        }
    }

    val chat = chatOf(args[0]) {
        threads = 1
        context = 200
        maxTokens = 12
        tokenizer = args[1]
    }
    val pieces = StringBuilder()
    var stats = ""
    val answer = await { chat.answer("Who?", { stats = it }) { pieces.append(it); true } }.getOrThrow()
    that(answer.isNotEmpty() && answer == pieces.toString(), "an answer in pieces")
    that(stats.contains("\"turns\":1,"), "stats: $stats")
    that(await { chat.answer("Who?") { false } }.isSuccess, "ended by its listener")
    val empty = await { chat.answer(" ") }.exceptionOrNull()
    that((empty as? ChatException)?.status() == ChatException.Status.ARGUMENT, "an empty question: $empty")
    val thrown = await { chat.answer("Who?") { throw IllegalStateException("mine") } }.exceptionOrNull()
    that(thrown is IllegalStateException && thrown.message == "mine", "what a listener throws: $thrown")
    val error = await { chat.answer("Who?") { throw AssertionError("mine") } }.exceptionOrNull()
    that(error is AssertionError && error.message == "mine", "an error of a listener: $error")
    that(await { chat.answer("Who?") }.isSuccess, "and the next question")
    chat.close()
    that(await { chat.answer("Who?") }.isFailure, "after close")
    that(runCatching { chatOf("missing.rbe") }.exceptionOrNull() is ChatException, "no such model")
    println("Kotlin: $failed failed")
    exitProcess(if (failed == 0) 0 else 1)
}
