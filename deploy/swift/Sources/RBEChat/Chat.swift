// Chat.swift - a conversation with a model, as an actor.
//
// SPDX-License-Identifier: MIT
import CRBE
import Dispatch
import Foundation

/// Why the library refused or could not do something: one line.
public struct ChatError: Error, CustomStringConvertible {
    public enum Status: Int32, Sendable {
        case noMemory = -1, io = -2, format = -3, mismatch = -4, argument = -5, limit = -6
        case cancelled = -7, numeric = -8, unknown = 0
    }
    public let status: Status
    public let description: String

    init(_ status: Status, _ description: String) {
        self.status = status
        self.description = description
    }

    init(_ status: rbe_status, _ diag: rbe_diag) {
        var d = diag
        self.status = Status(rawValue: Int32(status.rawValue)) ?? .unknown
        description = withUnsafeBytes(of: &d.text) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

/// struct rbe_edge_config of rbe/chat.h: 0 stands for what it stands for there.
public struct ChatConfig: Sendable {
    public var memoryLimit = 0
    public var threads: UInt32 = 0
    public var batch: UInt32 = 0
    public var context: UInt32 = 0
    public var maxTokens: UInt32 = 0
    public var plain = false
    public var temperature: Float = 0
    public var topK: UInt32 = 0
    public var topP: Float = 1
    public var seed: UInt64 = 0

    public init() {}

    /// 256 MiB, 4 threads, 256 tokens: a board of the Raspberry Pi's class.
    public static var board: ChatConfig {
        let b = rbe_edge_config_board()
        var c = ChatConfig()
        c.memoryLimit = Int(b.memory_limit)
        c.threads = b.threads
        c.batch = b.batch
        c.context = b.context
        return c
    }

    var c: rbe_edge_config {
        var h = rbe_edge_config()
        h.memory_limit = max(0, memoryLimit)
        h.threads = threads
        h.batch = batch
        h.context = context
        h.max_tokens = maxTokens
        h.plain = plain
        h.sampling.temperature = temperature
        h.sampling.top_k = topK
        h.sampling.top_p = topP
        h.sampling.seed = seed
        return h
    }
}

/// What the queue alone touches, but for `cancel`.
private final class Model: @unchecked Sendable {
    let queue = DispatchQueue(label: "rbe.chat", qos: .userInitiated)
    private let path: String
    private let tokenizer: String?
    private let config: ChatConfig
    private let lock = NSLock()
    private var chat: OpaquePointer?
    private var speaking: Request?

    init(path: String, tokenizer: String?, config: ChatConfig) throws {
        self.path = path
        self.tokenizer = tokenizer
        self.config = config
        try open()
    }

    deinit {
        close()
    }

    func open() throws {
        var how = config.c
        var d = rbe_diag()
        var opened: OpaquePointer?
        let status: rbe_status
        if chat != nil { return }
        if let words = tokenizer {
            status = rbe_chat_open(&opened, path, words, &how, &d)
        } else {
            status = rbe_chat_open(&opened, path, nil, &how, &d)
        }
        if status != RBE_OK { throw ChatError(status, d) }
        chat = opened
    }

    /// Frees weights, cache and buffers; the next question opens them again, and knows of none
    /// before.
    func close() {
        rbe_chat_close(&chat)
    }

    func reset() {
        if let c = chat { rbe_chat_reset(c) }
    }

    func stats() -> String {
        guard let c = chat else { return "{}" }
        var text = [CChar](repeating: 0, count: 1024)
        rbe_chat_stats(c, &text, text.count)
        return String(cString: text)
    }

    func say(_ question: String, _ request: Request) throws {
        var d = rbe_diag()
        if request.isCancelled { throw CancellationError() }
        // A C string ends there.
        if question.utf8.contains(0) { throw ChatError(.format, "the question has U+0000") }
        try open()
        lock.lock()
        speaking = request
        lock.unlock()
        defer {
            lock.lock()
            speaking = nil
            lock.unlock()
        }
        let status = rbe_chat_say(chat, question, { arg, text, size in
            let request = Unmanaged<Request>.fromOpaque(arg!).takeUnretainedValue()
            let bytes = UnsafeRawBufferPointer(start: text, count: size)
            request.yield(String(decoding: bytes, as: UTF8.self))
            return !request.isCancelled
        }, Unmanaged.passUnretained(request).toOpaque(), &d)
        if request.isCancelled { throw CancellationError() }
        if status != RBE_OK { throw ChatError(status, d) }
    }

    /// From any thread: ends this request's answer, and no other's.
    func cancel(_ request: Request) {
        request.cancel()
        lock.lock()
        if speaking === request, let c = chat { rbe_chat_cancel(c) }
        lock.unlock()
    }
}

private final class Request: @unchecked Sendable {
    private let lock = NSLock()
    private var cancelled = false
    let yield: (String) -> Void

    init(_ yield: @escaping (String) -> Void) {
        self.yield = yield
    }

    var isCancelled: Bool {
        lock.lock()
        defer { lock.unlock() }
        return cancelled
    }

    func cancel() {
        lock.lock()
        cancelled = true
        lock.unlock()
    }
}

public actor Chat {
    private let model: Model
    private var pressure: [Any] = []

    /// Once, before all else.
    private static let ready: Bool = rbe_init(nil) == RBE_OK

    /// Opens a model: a folder, checkpoint, RBE or GGUF file.
    public init(model: String, tokenizer: String? = nil, config: ChatConfig = ChatConfig()) throws {
        _ = Chat.ready
        self.model = try Model(path: model, tokenizer: tokenizer, config: config)
    }

    /// The answer in pieces of whole characters.  Questions wait for each other; a stream that
    /// is no longer read ends its answer.
    public nonisolated func say(_ question: String) -> AsyncThrowingStream<String, Error> {
        let model = self.model
        return AsyncThrowingStream { continuation in
            let request = Request { piece in continuation.yield(piece) }
            continuation.onTermination = { reason in
                if case .cancelled = reason { model.cancel(request) }
            }
            model.queue.async {
                do {
                    try model.say(question, request)
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }

    /// The whole answer.
    public nonisolated func answer(_ question: String) async throws -> String {
        var whole = ""
        for try await piece in say(question) { whole += piece }
        return whole
    }

    /// rbe_chat_stats() of rbe/chat.h: a JSON object.
    public nonisolated func stats() async -> String {
        await onQueue { $0.stats() }
    }

    /// Forgets everything said.
    public nonisolated func reset() async {
        await onQueue { $0.reset() }
    }

    /// Gives all memory back when the answer under way has ended; the next question opens the
    /// model again, and the conversation begins anew.
    public nonisolated func releaseMemory() async {
        await onQueue { $0.close() }
    }

    private nonisolated func onQueue<T: Sendable>(_ work: @escaping @Sendable (Model) -> T) async -> T {
        let model = self.model
        return await withCheckedContinuation { rest in
            model.queue.async { rest.resume(returning: work(model)) }
        }
    }

    /// From now on memory is given back when the system warns that it has too little.  Linux does
    /// not warn: there this does nothing.
    public func releaseMemoryOnWarning() {
        #if canImport(Darwin)
        let source = DispatchSource.makeMemoryPressureSource(eventMask: [.warning, .critical],
                                                             queue: model.queue)
        let model = self.model
        source.setEventHandler { model.close() }
        source.resume()
        pressure.append(source)
        #endif
    }
}
