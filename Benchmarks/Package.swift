// swift-tools-version: 6.2
import PackageDescription

// What `make bench` runs (scripts/bench drives it and judges the figures). Apart from the main package, so
// that nothing here becomes a dependency of the programs.
let package = Package(
  name: "shadowmesh-benchmarks",
  platforms: [.macOS(.v26)],
  dependencies: [
    .package(name: "shadowmesh", path: ".."),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0"),
  ],
  targets: [
    .executableTarget(
      name: "shadowmesh-bench",
      dependencies: [
        .product(name: "MeshWire", package: "shadowmesh"),
        .product(name: "MeshCrypto", package: "shadowmesh"),
        .product(name: "MeshSession", package: "shadowmesh"),
        .product(name: "BackboneAPI", package: "shadowmesh"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Hummingbird", package: "hummingbird"),
      ],
      swiftSettings: [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
      ])
  ]
)
