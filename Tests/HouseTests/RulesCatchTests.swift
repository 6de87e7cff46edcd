import Testing

/// Each rule finds what it is there for: a rule that never fires guards nothing.
@Suite("House rules catch what they forbid")
struct RulesCatchTests {
  private func source(_ text: String, at path: String = "Sources/MeshWire/Sample.swift") -> SourceFile {
    SourceFile(path: path, text: text)
  }

  @Test(arguments: [
    ("Sources/MeshWire/A.swift", "import Foundation"),
    ("Sources/Kademlia/A.swift", "public import MeshCrypto"),
    ("Sources/MeshNode/A.swift", "@preconcurrency import NIOCore"),
    ("Sources/MeshCrypto/A.swift", "public import FoundationEssentials"),
    ("Sources/Backbone/A.swift", "import LightNode"),
    ("Sources/ControlAPI/A.swift", "import struct NodeHost.Thing"),
    ("Sources/Unlisted/A.swift", "import MeshWire"),
  ])
  func `an import against the arrows`(path: String, text: String) {
    #expect(ImportArrows.violations(in: source(text, at: path)).count == 1)
  }

  @Test func `an import along the arrows passes`() {
    let text = "public import MeshWire\nimport struct FoundationEssentials.Data\n// import Foundation"
    #expect(ImportArrows.violations(in: source(text, at: "Sources/MeshCrypto/A.swift")).isEmpty)
  }

  @Test func `Foundation only where FoundationEssentials is missing`() {
    let test =
      "#if canImport(FoundationEssentials)\n  import FoundationEssentials\n#else\n  import Foundation\n#endif"
    #expect(ImportArrows.violations(in: source(test, at: "Sources/MeshCrypto/A.swift")).isEmpty)
    #expect(!ImportArrows.violations(in: source(test, at: "Sources/MeshSession/A.swift")).isEmpty)
  }

  @Test(arguments: ["func f() async {}", "let x = Int.random(in: 0..<9)", "let m = Mutex(1)", "print(1)"])
  func `impurity in a core`(text: String) {
    #expect(!Purity.violations(in: source(text)).isEmpty)
    #expect(Purity.violations(in: source(text, at: "Sources/LightNode/A.swift")).isEmpty)
  }

  @Test(arguments: [
    String(repeating: "\n", count: 501), "let a = \"\(String(repeating: "x", count: 110))\"",
    "struct PeerManager {}", "enum CommonThings {}", "// " + Layout.leftovers[0] + " later",
  ])
  func `sizes, empty names and leftovers`(text: String) {
    #expect(Layout.violations(in: source(text)).count == 1)
  }

  @Test func `an empty file name`() {
    #expect(Layout.violations(in: source("", at: "Sources/MeshWire/ByteUtilities.swift")).count == 1)
  }

  @Test func `a declaration without documentation`() {
    #expect(Documentation.violations(in: source("public struct A {")).count == 1)
    #expect(Documentation.violations(in: source("  package func f() {")).count == 1)
    #expect(
      Documentation.violations(in: source("/// Says it.\n@discardableResult\npublic func f() {")).isEmpty)
    #expect(Documentation.violations(in: source("  public static func == (a: A, b: A) -> Bool {")).isEmpty)
    #expect(Documentation.violations(in: source("  func f() {")).isEmpty)
    #expect(Documentation.violations(in: source("extension A: B {\n  public func f() {\n  }\n}")).isEmpty)
  }

  @Test(arguments: [
    "try! f()", "x as! Y", "fatalError(\"no\")", "final class A: @unchecked Sendable {", "Task {",
  ])
  func `an escape without its reason`(text: String) {
    #expect(Escapes.violations(in: source(text)).count == 1)
    #expect(Escapes.violations(in: source(text + "  // why: it cannot fail here")).isEmpty)
    #expect(Escapes.violations(in: source("// why: it cannot fail here\n" + text)).isEmpty)
    #expect(Escapes.violations(in: source("let text = \"\(text.replacing("\"", with: ""))\"")).isEmpty)
  }

  @Test(arguments: ["try await Task.sleep(for: .seconds(1))", "usleep(10)", "@Test(.disabled())"])
  func `a test that sleeps or hides`(text: String) {
    #expect(!Patience.violations(in: source(text, at: "Tests/A/B.swift")).isEmpty)
  }

  @Test func `a link in a comment to what was renamed`() {
    let declarations = source("struct New {\n  case one, two(Int)\n  func f(_ a: Int) {}\n  let value = 1\n}")
    func links(_ text: String) -> Int {
      let comment = source("/// See ``\(text)``.", at: "Tests/A/B.swift")
      return DocumentationLinks.violations(in: [declarations, comment]).count
    }
    for good in ["New", "New/f(_:)", "two(_:)", "New/value", "init(_:)"] { #expect(links(good) == 0) }
    for stale in ["Old", "Old/value", "New/g(_:)", "three"] { #expect(links(stale) == 1) }
  }

  @Test func `a metric that nobody explains, and one that nobody makes`() {
    let file = SourceFile(
      path: "Sources/Sample/Sample.swift",
      text: "import Metrics\nlet a = counter(\"made\")\nlet b = Gauge(label: \"shadowmesh.level\")")
    func count(_ text: String) -> Int { MetricNames.violations(in: [file], explained: text).count }
    #expect(count("`shadowmesh_made_total`, `shadowmesh_level`") == 0)
    #expect(count("`shadowmesh_level`") == 1)
    #expect(count("`shadowmesh_made_total`, `shadowmesh_level`, `shadowmesh_gone`") == 1)
  }

  @Test func `a link that leads nowhere`() {
    let tree = SourceTree.repository
    func links(_ text: String) -> Int {
      Links.violations(in: SourceFile(path: "docs/sample.md", text: text), of: tree).count
    }
    #expect(links("[gone](gone.md)") == 1)
    #expect(links("[`noSuchTest`](../Tests/HouseTests/SourceTree.swift)") == 1)
    #expect(
      links("[`SourceTree`](../Tests/HouseTests/SourceTree.swift) [web](https://example.org) [here](#x)") == 0
    )
  }
}
