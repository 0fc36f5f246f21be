// The Android library: `gradle assembleRelease` makes build/outputs/aar/rbe-chat-release.aar.
//
// SPDX-License-Identifier: MIT
plugins {
    id("com.android.library") version "8.5.2"
    id("org.jetbrains.kotlin.android") version "1.9.24"
}

android {
    namespace = "rbe.chat"
    compileSdk = 34
    ndkVersion = "26.3.11579264"
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("proguard.txt")
        // The processors that have kernels.
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    externalNativeBuild {
        cmake {
            path = file("src/main/cpp/CMakeLists.txt")
            version = "3.22.1"
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    kotlinOptions { jvmTarget = "1.8" }
    // Models do not become smaller, and are copied out faster as they are.
    androidResources { noCompress += "rbe" }
}
