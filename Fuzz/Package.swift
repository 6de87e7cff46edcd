// swift-tools-version: 6.2
import PackageDescription

// Fuzz targets for everything that reads bytes from outside; scripts/fuzz builds and runs them. Only with
// SHADOWMESH_CORES_ONLY=1, so that the sanitizer build stays short: what the edges parse (JSON bodies,
// invitations, lines of the control socket, configuration, key and state files) is compiled here from links
// to their files, in modules of the same names, without the servers around it. scripts/fuzz builds all
// modules so that the targets see their internal declarations, as tests do.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
  .treatWarning("DeprecatedDeclaration", as: .warning),
]

func core(_ name: String) -> Target.Dependency { .product(name: name, package: "shadowmesh") }

/// libFuzzer brings the main function.
func fuzz(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: ["Harness"] + dependencies,
    swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
}

/// A part of a library of that name, from links.
func part(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

let wire = core("MeshWire")
let meshCrypto = core("MeshCrypto")
let session = core("MeshSession")
let node = core("MeshNode")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "shadowmesh-fuzz",
  platforms: [.macOS(.v26)],
  dependencies: [
    .package(name: "shadowmesh", path: ".."),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
    .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.0"),
  ],
  targets: [
    .target(name: "Harness", dependencies: [wire, meshCrypto, session], swiftSettings: settings),
    part("ControlAPI", [wire]),
    part("BackboneAPI", [wire, meshCrypto]),
    part("StrictConfiguration", [yams]),
    part("Daemon", []),
    part("NodeHost", []),
    part(
      "LightNode",
      ["ControlAPI", "StrictConfiguration", "Daemon", wire, meshCrypto, node, crypto, cryptoExtras]),
    part("Backbone", ["BackboneAPI", "Daemon", "StrictConfiguration", wire, meshCrypto]),
    fuzz("fuzz-record", [wire, meshCrypto]),
    fuzz("fuzz-kademlia", [wire, core("Kademlia")]),
    fuzz("fuzz-stun", [wire, core("MeshPaths")]),
    fuzz("fuzz-portmapping", [wire, core("MeshPaths")]),
    fuzz("fuzz-relay", [wire, meshCrypto, core("MeshRelay")]),
    fuzz("fuzz-handshake", [wire, meshCrypto, session]),
    fuzz("fuzz-frames", ["NodeHost"]),
    fuzz(
      "fuzz-node",
      [wire, meshCrypto, session, node, core("Kademlia"), core("MeshPaths"), core("MeshRelay")]),
    fuzz("fuzz-text", ["BackboneAPI", "ControlAPI", "LightNode", "Backbone", wire, meshCrypto, crypto]),
    fuzz(
      "fuzz-configuration", ["StrictConfiguration", "LightNode", "Backbone", "BackboneAPI", wire, meshCrypto]
    ),
    fuzz("fuzz-state", ["LightNode", "Backbone", "ControlAPI", wire, meshCrypto, node, crypto]),
  ]
)
