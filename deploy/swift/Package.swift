// swift-tools-version:5.9
//
// Package.swift - conversations with RBE models for Swift, on Apple's systems and on Linux.
//
// SPDX-License-Identifier: MIT
//
// prepare.sh comes first: it fills Sources/CRBE with the C sources.  Nothing of the system is
// linked but libc.
import PackageDescription

let package = Package(
    name: "RBEChat",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [
        .library(name: "RBEChat", targets: ["RBEChat"]),
        .executable(name: "ask", targets: ["ask"])
    ],
    targets: [
        .target(
            name: "CRBE",
            exclude: ["tree", "third-party", "config"],
            sources: ["made"],
            publicHeadersPath: "include",
            cSettings: [
                .headerSearchPath("tree"),
                .headerSearchPath("config"),
                .headerSearchPath("third-party/jansson/src"),
                .headerSearchPath("third-party/xxhash"),
                .define("RBE_NO_OPENSSL"),
                .define("_GNU_SOURCE"),
                .define("HAVE_STDINT_H")
            ],
            linkerSettings: [
                .linkedLibrary("m", .when(platforms: [.linux])),
                .linkedLibrary("pthread", .when(platforms: [.linux])),
                .linkedLibrary("dl", .when(platforms: [.linux]))
            ]),
        .target(name: "RBEChat", dependencies: ["CRBE"]),
        .executableTarget(name: "ask", dependencies: ["RBEChat"]),
        .testTarget(name: "RBEChatTests", dependencies: ["RBEChat"])
    ],
    cLanguageStandard: .c11)
