// main.swift - asks a model: ask MODEL TOKENIZER QUESTION...
//
// SPDX-License-Identifier: MIT
import Foundation
import RBEChat

let words = CommandLine.arguments
guard words.count > 3 else {
    FileHandle.standardError.write(Data("usage: ask MODEL TOKENIZER QUESTION...\n".utf8))
    exit(2)
}
do {
    let chat = try Chat(model: words[1], tokenizer: words[2], config: .board)
    await chat.releaseMemoryOnWarning()
    for question in words[3...] {
        for try await piece in chat.say(question) {
            print(piece, terminator: "")
        }
        print()
    }
    print(await chat.stats())
} catch {
    FileHandle.standardError.write(Data("ask: \(error)\n".utf8))
    exit(1)
}
