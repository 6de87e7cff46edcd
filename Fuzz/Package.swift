// swift-tools-version: 6.2
import PackageDescription

// Fuzz targets for everything that reads bytes from outside; scripts/fuzz builds and runs them. Only with
// SHADOWMESH_CORES_ONLY=1, so that the sanitizer build stays short: what the edges parse (JSON bodies,
// invitations, lines of the control socket) is compiled here from links to their files, without the servers
// around it.
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

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")

let package = Package(
  name: "shadowmesh-fuzz",
  platforms: [.macOS(.v26)],
  dependencies: [
    .package(name: "shadowmesh", path: ".."),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
  ],
  targets: [
    .target(
      name: "Harness", dependencies: [core("MeshWire"), core("MeshCrypto"), core("MeshSession")],
      swiftSettings: settings),
    .target(
      name: "BackboneText", dependencies: [core("MeshWire"), core("MeshCrypto"), crypto],
      swiftSettings: settings),
    .target(name: "ControlText", dependencies: [core("MeshWire")], swiftSettings: settings),
    fuzz("fuzz-record", [core("MeshWire"), core("MeshCrypto")]),
    fuzz("fuzz-kademlia", [core("MeshWire"), core("Kademlia")]),
    fuzz("fuzz-handshake", [core("MeshWire"), core("MeshCrypto"), core("MeshSession")]),
    fuzz("fuzz-node", [core("MeshWire"), core("MeshCrypto"), core("MeshSession"), core("MeshNode")]),
    fuzz("fuzz-text", ["BackboneText", "ControlText", core("MeshWire"), core("MeshCrypto"), crypto]),
  ]
)
