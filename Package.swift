// swift-tools-version: 6.2
import PackageDescription

// The cores need nothing but swift-crypto and libcrypto, and their simulator a parser of arguments.
// `SHADOWMESH_CORES_ONLY=1 swift build` (or `make test-cores`) leaves out every edge target and its
// dependencies: a build of one minute instead of five.
let coresOnly = Context.environment["SHADOWMESH_CORES_ONLY"] != nil

// Test code goes without strict memory safety: the expectation macros expand to code that it flags.
let strictTests: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("InferIsolatedConformances"),
  .treatAllWarnings(as: .error),
  .treatWarning("DeprecatedDeclaration", as: .warning),
]

let strict: [SwiftSetting] = strictTests + [.strictMemorySafety()]

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, resources: resources, swiftSettings: strictTests)
}

let cores: [Target] = [
  .systemLibrary(
    name: "CLibcrypto", path: "Sources/CLibcrypto", pkgConfig: "libcrypto",
    providers: [.apt(["libssl-dev"]), .brew(["openssl@3"])]),
  library("MeshWire", []),
  library("MeshCrypto", ["MeshWire", "CLibcrypto", crypto]),
  library("MeshSession", ["MeshWire", "MeshCrypto"]),
  library("Kademlia", ["MeshWire"]),
  library("MeshPaths", ["MeshWire"]),
  library("MeshRelay", ["MeshWire", "MeshCrypto"]),
  library(
    "MeshNode", ["MeshWire", "MeshCrypto", "MeshSession", "Kademlia", "MeshPaths", "MeshRelay"]),
  library("Simulation", ["MeshNode", "MeshSession", "MeshPaths", "Kademlia", "MeshCrypto", "MeshWire"]),
  library("Charts", []),
  program("shadowmesh-sim", ["Simulation", "Charts", "MeshWire", arguments]),
  // What the tests of several targets draw from.
  .target(name: "RepeatableRandom", path: "Tests/RepeatableRandom", swiftSettings: strictTests),
  tests("ChartsTests", ["Charts"]),
  tests("SimulationTests", ["Simulation", "MeshNode", "MeshCrypto", "MeshWire"]),
  tests("MeshWireTests", ["RepeatableRandom", "MeshWire"]),
  tests("MeshCryptoTests", ["RepeatableRandom", "MeshCrypto", "MeshWire", crypto]),
  tests(
    "MeshSessionTests", ["RepeatableRandom", "MeshSession", "MeshCrypto", "MeshWire"],
    resources: [.copy("Vectors")]),
  tests("KademliaTests", ["RepeatableRandom", "Kademlia", "MeshWire"]),
  tests("MeshPathsTests", ["RepeatableRandom", "MeshPaths", "MeshWire"]),
  tests("MeshRelayTests", ["MeshRelay", "MeshCrypto", "MeshWire"]),
  .executableTarget(
    name: "smh1-interop-peer",
    dependencies: ["MeshNode", "MeshPaths", "MeshSession", "MeshCrypto", "MeshWire"],
    path: "Tests/Interop/SwiftPeer", swiftSettings: strictTests),
  tests(
    "MeshNodeTests",
    [
      "RepeatableRandom", "MeshNode", "MeshSession", "MeshCrypto", "MeshWire", "Kademlia", "MeshPaths",
      "MeshRelay",
    ]),
]

let edges: [Target] = [
  .target(name: "CLinux", path: "Sources/CLinux"),
  library("Daemon", ["CLinux"]),
  library(
    "NodeHost",
    [
      "Daemon", "MeshNode", "MeshWire", "MeshCrypto", "MeshSession", "CLinux", log, metrics,
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOTLS", package: "swift-nio"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"),
    ]),
  library("Observability", [log, metrics]),
  library("StrictConfiguration", [.product(name: "Yams", package: "Yams")]),
  library("ControlAPI", ["MeshWire"]),
  library(
    "BackboneAPI",
    [
      "Daemon", "MeshWire", "MeshCrypto",
      .product(name: "AsyncHTTPClient", package: "async-http-client"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOFoundationCompat", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
    ]),
  library(
    "LightNode",
    [
      "Daemon", "NodeHost", "MeshNode", "MeshWire", "MeshCrypto", "MeshSession", "Kademlia", "CLinux",
      "MeshPaths", "MeshRelay", "BackboneAPI", "ControlAPI", "Observability", "StrictConfiguration", log,
      metrics, crypto,
      .product(name: "CryptoExtras", package: "swift-crypto"),
      .product(name: "X509", package: "swift-certificates"),
      .product(name: "SwiftASN1", package: "swift-asn1"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      .product(name: "AsyncHTTPClient", package: "async-http-client"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "Hummingbird", package: "hummingbird"),
    ]),
  library(
    "Backbone",
    [
      "BackboneAPI", "Daemon", "NodeHost", "MeshNode", "MeshPaths", "MeshWire", "MeshCrypto", "Observability",
      "StrictConfiguration", log, metrics,
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "GRDB", package: "GRDB.swift"),
      .product(name: "GRDBSQLite", package: "GRDB.swift"),
      .product(name: "JWTKit", package: "jwt-kit"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
      .product(name: "NIOFoundationCompat", package: "swift-nio"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"),
      .product(name: "NIOPosix", package: "swift-nio"),
    ]),
  program(
    "shadowmesh",
    ["ControlAPI", "MeshWire", "MeshCrypto", "LightNode", "StrictConfiguration", arguments]),
  program(
    "shadowmesh-lightnode",
    ["LightNode", "ControlAPI", "MeshWire", "StrictConfiguration", log, arguments]),
  program(
    "shadowmesh-backbone",
    [
      "Backbone", "BackboneAPI", "Daemon", "MeshWire", "MeshCrypto", "Observability", log, metrics, arguments,
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
    ]),
  tests(
    "NodeHostTests",
    [
      "RepeatableRandom", "NodeHost", "Daemon", "MeshNode", "MeshCrypto", "MeshWire", "CLinux", metrics,
      .product(name: "MetricsTestKit", package: "swift-metrics"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"),
    ]),
  tests(
    "LightNodeTests",
    [
      "LightNode", "ControlAPI", "BackboneAPI", "NodeHost", "MeshNode", "MeshPaths", "MeshWire",
      "MeshCrypto", "StrictConfiguration", "Observability", "Daemon", log,
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "SwiftASN1", package: "swift-asn1"),
      .product(name: "X509", package: "swift-certificates"),
      .product(name: "NIOPosix", package: "swift-nio"),
    ]),
  tests(
    "CommandLineTests",
    ["shadowmesh", "shadowmesh-lightnode", "ControlAPI", "NodeHost", "MeshWire"]),
  tests(
    "BackboneTests",
    [
      "Backbone", "BackboneAPI", "Daemon", "NodeHost", "MeshNode", "MeshPaths", "MeshWire", "MeshCrypto",
      "Observability", "StrictConfiguration", log,
      .product(name: "AsyncHTTPClient", package: "async-http-client"),
      .product(name: "GRDB", package: "GRDB.swift"),
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOEmbedded", package: "swift-nio"),
      .product(name: "NIOHTTP1", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
      .product(name: "NIOSSL", package: "swift-nio-ssl"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    ]),
  tests("StrictConfigurationTests", ["StrictConfiguration"]),
  tests("ObservabilityTests", ["Observability", metrics]),
  tests("HouseTests", []),
]

let edgeDependencies: [Package.Dependency] = [
  .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
  .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
  .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
  .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
  .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.0"),
  .package(url: "https://github.com/apple/swift-asn1.git", from: "1.3.0"),
  .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
  .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
  .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0"),
  .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
  .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.0"),
  .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.0"),
]

let package = Package(
  name: "shadowmesh",
  platforms: [.macOS(.v26)],
  products: [
    .library(name: "MeshWire", targets: ["MeshWire"]),
    .library(name: "MeshCrypto", targets: ["MeshCrypto"]),
    .library(name: "MeshSession", targets: ["MeshSession"]),
    .library(name: "Kademlia", targets: ["Kademlia"]),
    .library(name: "MeshPaths", targets: ["MeshPaths"]),
    .library(name: "MeshRelay", targets: ["MeshRelay"]),
    .library(name: "MeshNode", targets: ["MeshNode"]),
    .executable(name: "shadowmesh-sim", targets: ["shadowmesh-sim"]),
  ]
    + (coresOnly
      ? []
      : [
        .library(name: "BackboneAPI", targets: ["BackboneAPI"]),
        .library(name: "ControlAPI", targets: ["ControlAPI"]),
        .library(name: "Backbone", targets: ["Backbone"]),
        .library(name: "LightNode", targets: ["LightNode"]),
        .executable(name: "shadowmesh", targets: ["shadowmesh"]),
        .executable(name: "shadowmesh-lightnode", targets: ["shadowmesh-lightnode"]),
        .executable(name: "shadowmesh-backbone", targets: ["shadowmesh-backbone"]),
      ]),
  dependencies: [
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
  ]
    + (coresOnly ? [] : edgeDependencies),
  targets: cores + (coresOnly ? [] : edges)
)
