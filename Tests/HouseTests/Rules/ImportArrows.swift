import Foundation

/// Which modules a target may import. Arrows point one way: cores know no edges, and edges know only the
/// libraries that their part needs. SwiftPM itself does not reject an import that is merely transitive.
enum ImportArrows {
  /// What any edge may import besides.
  static let platform: Set<String> = [
    "Foundation", "FoundationEssentials", "Glibc", "Musl", "Darwin", "Dispatch", "Synchronization", "System",
  ]

  static let pure: [String: Set<String>] = [
    "MeshWire": [],
    "MeshCrypto": ["MeshWire", "CLibcrypto", "Crypto", "FoundationEssentials"],
    "MeshSession": ["MeshWire", "MeshCrypto"],
    "Kademlia": ["MeshWire"],
    "MeshPaths": ["MeshWire"],
    "MeshRelay": ["MeshWire", "MeshCrypto"],
    "MeshNode": ["MeshWire", "MeshCrypto", "MeshSession", "Kademlia", "MeshPaths", "MeshRelay"],
    "Simulation": [
      "MeshWire", "MeshCrypto", "MeshSession", "Kademlia", "MeshPaths", "MeshRelay", "MeshNode",
    ],
  ]

  private static let http: Set<String> = [
    "Hummingbird", "HummingbirdTLS", "HummingbirdCore", "HTTPTypes", "NIOCore", "NIOPosix", "NIOSSL",
    "NIOFoundationCompat", "NIOHTTP1", "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "NIOConcurrencyHelpers",
  ]

  static let edges: [String: Set<String>] = [
    "Daemon": ["CLinux"],
    "NodeHost": [
      "Daemon", "MeshNode", "MeshWire", "MeshCrypto", "MeshSession", "CLinux", "Logging", "Metrics",
      "CoreMetrics", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS",
    ],
    "StrictConfiguration": ["Yams"],
    "Observability": ["Logging", "Metrics", "CoreMetrics"],
    "ControlAPI": ["MeshWire"],
    "BackboneAPI": http.union(["Daemon", "MeshWire", "MeshCrypto", "AsyncHTTPClient", "Logging"]),
    "LightNode": http.union([
      "Daemon", "NodeHost", "MeshNode", "MeshWire", "MeshCrypto", "MeshSession", "Kademlia", "CLinux",
      "MeshPaths", "MeshRelay", "BackboneAPI", "ControlAPI", "Observability", "StrictConfiguration",
      "Logging", "Metrics", "AsyncHTTPClient",
      "ServiceLifecycle", "UnixSignals", "Crypto", "CryptoExtras", "X509", "SwiftASN1",
    ]),
    "Backbone": http.union([
      "BackboneAPI", "Daemon", "NodeHost", "MeshNode", "MeshPaths", "MeshWire", "MeshCrypto",
      "Observability", "StrictConfiguration", "Logging", "Metrics", "GRDB", "GRDBSQLite", "JWTKit",
      "ServiceLifecycle", "UnixSignals", "Yams",
    ]),
    "shadowmesh": [
      "ControlAPI", "MeshWire", "MeshCrypto", "LightNode", "StrictConfiguration", "ArgumentParser",
    ],
    "Charts": [],
    "shadowmesh-sim": ["Simulation", "Charts", "MeshWire", "ArgumentParser"],
    "shadowmesh-lightnode": [
      "LightNode", "ControlAPI", "MeshWire", "StrictConfiguration", "Logging", "ArgumentParser",
    ],
    "shadowmesh-backbone": [
      "Backbone", "BackboneAPI", "Daemon", "MeshWire", "MeshCrypto", "Observability", "Logging", "Metrics",
      "ArgumentParser", "ServiceLifecycle", "UnixSignals", "NIOCore",
    ],
  ]

  static func violations(in file: SourceFile) -> [Violation] {
    guard let target = file.target, file.path.hasPrefix("Sources/") else { return [] }
    guard let permitted = pure[target] ?? edges[target]?.union(platform) else {
      return [Violation(path: file.path, line: 1, reason: "\(target) has no row in the table of imports")]
    }
    return imports(of: file).compactMap { line, module, isPublic in
      if module == "Foundation" && isFallback(line, in: file) && permitted.contains("FoundationEssentials") {
        return nil
      }
      if !permitted.contains(module) {
        return Violation(path: file.path, line: line, reason: "\(target) may not import \(module)")
      }
      if isPublic && module.hasPrefix("Foundation") && pure[target] != nil {
        return Violation(path: file.path, line: line, reason: "Foundation stays out of a core's interface")
      }
      return nil
    }
  }

  /// Every import of the file: line number, module, and whether it is public.
  static func imports(of file: SourceFile) -> [(line: Int, module: String, isPublic: Bool)] {
    file.codeLines.enumerated().compactMap { index, line in
      let words = line.split(separator: " ")
      guard let at = words.firstIndex(of: "import"), at + 1 < words.count,
        words[..<at].allSatisfy({ $0.hasPrefix("@") || accessLevels.contains($0) })
      else { return nil }
      let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
      let name = kinds.contains(words[at + 1]) ? words.dropFirst(at + 2).first : words[at + 1]
      guard let name, let module = name.split(separator: ".").first else { return nil }
      return (index + 1, String(module), words[..<at].contains("public"))
    }
  }

  /// Where there is no FoundationEssentials (macOS), the whole of Foundation stands in: the `#else` of the
  /// test for it.
  private static func isFallback(_ line: Int, in file: SourceFile) -> Bool {
    let above = file.lines[..<(line - 1)].suffix(3).map { $0.filter { $0 != " " } }
    return above.last == "#else" && above.first == "#ifcanImport(FoundationEssentials)"
  }

  private static let accessLevels: Set<Substring> = [
    "public", "package", "internal", "private", "fileprivate",
  ]
}
