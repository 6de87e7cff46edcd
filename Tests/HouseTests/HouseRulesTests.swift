import Testing

/// The rules of the house hold everywhere in the repository.
@Suite("House rules")
struct HouseRulesTests {
  let tree = SourceTree.repository

  @Test func `the repository is found`() {
    #expect(tree.exists("Package.swift"))
    #expect(tree.sources.count > 10)
  }

  @Test func `imports follow the arrows`() {
    expectNone(tree.sources.flatMap(ImportArrows.violations))
  }

  @Test func `cores have no clock, no randomness, no concurrency`() {
    expectNone(tree.sources.flatMap(Purity.violations))
  }

  @Test func `files and lines stay short, names say something, nothing is left unfinished`() {
    expectNone(tree.allSwift.flatMap(Layout.violations))
  }

  @Test func `public and package declarations are documented`() {
    expectNone(tree.sources.flatMap(Documentation.violations))
  }

  @Test func `every escape from the compiler's checks gives its reason`() {
    expectNone(tree.sources.flatMap(Escapes.violations))
  }

  @Test func `tests neither sleep nor hide`() {
    expectNone(tree.tests.flatMap(Patience.violations))
  }

  @Test func `links in documents lead somewhere`() {
    expectNone(tree.documents.flatMap { Links.violations(in: $0, of: tree) })
  }

  @Test func `links in comments name what there is`() {
    expectNone(DocumentationLinks.violations(in: tree.allSwift))
  }

  @Test func `every metric is explained`() {
    let text = tree.text(MetricNames.document) ?? ""
    expectNone(MetricNames.violations(in: tree.sources, explained: text))
  }

  private func expectNone(_ violations: [Violation], at location: SourceLocation = #_sourceLocation) {
    for violation in violations {
      Issue.record(Comment(rawValue: violation.description), sourceLocation: location)
    }
  }
}
