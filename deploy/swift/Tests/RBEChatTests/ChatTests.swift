// ChatTests.swift - answers, errors, cancelling, two models; $RBE_MODELS is datasets/embedded.
//
// SPDX-License-Identifier: MIT
import XCTest
@testable import RBEChat

final class ChatTests: XCTestCase {
    private var models: String {
        ProcessInfo.processInfo.environment["RBE_MODELS"] ?? "../../datasets/embedded"
    }

    private func open(_ name: String = "mini-2.89-tuned.rbe") throws -> Chat {
        var how = ChatConfig()
        how.threads = 1
        how.context = 200
        how.maxTokens = 20
        return try Chat(model: "\(models)/\(name)", tokenizer: "\(models)/rbe-mini", config: how)
    }

    func testPiecesAreTheAnswer() async throws {
        let chat = try open()
        var pieces: [String] = []
        for try await piece in chat.say("Where does the river rise?") { pieces.append(piece) }
        XCTAssertGreaterThan(pieces.count, 1)
        await chat.reset()
        let again = try await chat.answer("Where does the river rise?")
        XCTAssertEqual(pieces.joined(), again)
        let stats = await chat.stats()
        XCTAssertTrue(stats.contains("\"turns\":2,"))
    }

    func testBadInput() async throws {
        XCTAssertThrowsError(try Chat(model: "missing.rbe")) { error in
            XCTAssertEqual((error as? ChatError)?.status, .io)
        }
        let chat = try open()
        for (question, status) in [("", ChatError.Status.argument), (" \n", .argument),
                                   (String(repeating: " x9 Qz#!", count: 400), .limit)] {
            do {
                _ = try await chat.answer(question)
                XCTFail("no error")
            } catch let error as ChatError {
                XCTAssertEqual(error.status, status)
            }
        }
    }

    func testCancelling() async throws {
        let chat = try open()
        for try await _ in chat.say("Where does the river rise?") { break }
        let task = Task { try await chat.answer("Who was the king?") }
        task.cancel()
        _ = try? await task.value
        let answer = try await chat.answer("Who?")
        XCTAssertFalse(answer.isEmpty)
    }

    func testMemoryIsGivenBackAndTakenAgain() async throws {
        let chat = try open()
        let first = try await chat.answer("Who?")
        await chat.releaseMemory()
        let again = try await chat.answer("Who?")
        XCTAssertEqual(first, again)
    }

    func testTwoModelsAtOnce() async throws {
        let one = try open(), two = try open("rbe-mini")
        let alone = (try await one.answer("Who?"), try await two.answer("Who?"))
        await one.reset()
        await two.reset()
        async let a = one.answer("Who?")
        async let b = two.answer("Who?")
        let together = (try await a, try await b)
        XCTAssertEqual(alone.0, together.0)
        XCTAssertEqual(alone.1, together.1)
    }
}
