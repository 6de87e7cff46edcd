import StrictConfiguration
import Testing

@Suite struct StrictConfigurationTests {
  enum Colour: String, CaseIterable { case red, green }

  /// Reads every key that these tests use, and returns the error's text.
  private func firstRefusal(of text: String) -> String? {
    do {
      var file = try ConfigurationFile(text: text, name: "test.yaml")
      _ = try file.string("name")
      _ = try file.integer("port", in: 1...65_535)
      _ = try file.boolean("strict")
      _ = try file.choice("colour", of: Colour.self)
      _ = try file.string("tls.certificate_file")
      _ = try file.values("addresses", upTo: 2, expected: "an address") { $0.contains(":") ? $0 : nil }
      _ = try file.duration("life", in: .seconds(1)...(.seconds(7_200)))
      for var node in try file.groups("nodes", upTo: 2) ?? [] {
        _ = try node.string("region")
        try node.finish()
      }
      try file.finish()
      return nil
    } catch {
      return error.description
    }
  }

  @Test func aWholeFileIsRead() throws {
    var file = try ConfigurationFile(
      text: """
        name: "12"
        port: 8443   # as in the seed
        strict: true
        key: 12e4
        tls:
          certificate_file: a.pem
        addresses: ["a:1", b:2]
        life: 90m
        """)
    #expect(try file.string("name") == "12")
    #expect(try file.integer("port", in: 1...65_535) == 8443)
    #expect(try file.boolean("strict") == true)
    #expect(try file.value("key", expected: "hex") { [UInt8]($0.utf8).count } == 4)
    #expect(try file.string("tls.certificate_file") == "a.pem")
    #expect(try file.values("addresses", upTo: 2, expected: "text") { $0 } == ["a:1", "b:2"])
    #expect(try file.duration("life", in: .seconds(1)...(.seconds(7_200))) == .seconds(5_400))
    #expect(try file.string("absent") == nil)
    try file.finish()
  }

  @Test(arguments: [
    ("nmae: x", "test.yaml:1: nmae: unknown key; known here: addresses, colour, life"),
    ("name: x\ntls:\n  cert: y", "test.yaml:3: tls.cert: unknown key; known here: certificate_file"),
    ("tls: yes", "test.yaml:1: tls: expected a group of keys, found yes"),
    ("name: 5", "test.yaml:1: name: expected a string, found 5"),
    ("name:", "test.yaml:1: name: expected a string, found nothing"),
    ("\nport: 0", "test.yaml:2: port: expected a whole number from 1 to 65535, found 0"),
    ("port: \"80\"", "test.yaml:1: port: expected a whole number from 1 to 65535, found \"80\""),
    ("strict: yes", "test.yaml:1: strict: expected true or false, found yes"),
    ("colour: blue", "test.yaml:1: colour: expected one of: red, green, found \"blue\""),
    ("addresses: [\"a:1\", b]", "test.yaml:1: addresses: expected an address, found \"b\""),
    ("addresses: [a, b, c]", "test.yaml:1: addresses: expected a list of at most 2 entries, found a list"),
    ("life: 3h", "test.yaml:1: life: expected a time like 30s, 5m, 2h or 7d, from 1s to 7200s, found \"3h\""),
    ("nodes:\n  - region: a\n  - regoin: b", "test.yaml:3: nodes[1].regoin: unknown key"),
    ("strict: true\nname: x\n# why\nname: y", "test.yaml:4: name: given more than once"),
    ("name: [", "test.yaml:2: not YAML"),
    ("name: &a x", "test.yaml:1: anchors (&) are not supported"),
    ("addresses: &a [\"a:1\"]\nname: x", "test.yaml:1: anchors (&) are not supported"),
    ("&a name: *a", "test.yaml:1: name: expected a plain word as a key"),
    ("tls.certificate_file: x", "test.yaml:1: tls.certificate_file: expected a plain word as a key"),
    ("5: x\n\"5\": y", "test.yaml:2: 5: given more than once"),
    ("- a", "test.yaml:1: expected keys with values, found a list"),
  ])
  func refusalsNameFileLineKeyAndWhatWasExpected(text: String, expected: String) throws {
    let refusal = try #require(firstRefusal(of: text))
    #expect(refusal.contains(expected), "\(refusal)")
  }

  @Test func aMissingFileIsNamed() {
    #expect {
      try ConfigurationFile(path: "/nowhere/at/all.yaml")
    } throws: {
      ($0 as? ConfigurationError)?.description
        == "/nowhere/at/all.yaml: cannot be read: No such file or directory"
    }
  }

  @Test("A directory, and a file without an end, are refused by name and in bounded memory")
  func notAFile() {
    for (path, problem) in [
      ("/", "cannot be read: Is a directory"), ("/dev/zero", "larger than 1048576 bytes"),
    ] {
      #expect {
        try ConfigurationFile(path: path)
      } throws: {
        ($0 as? ConfigurationError)?.description == "\(path): \(problem)"
      }
    }
  }
}
