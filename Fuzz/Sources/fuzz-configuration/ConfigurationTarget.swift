import Backbone
import BackboneAPI
import Harness
import MeshWire
import StrictConfiguration

@testable import LightNode

/// By the first byte: 0 a light node's YAML, 1 a backbone's, 2 a flag of the command line, else YAML that is
/// asked for values of every type.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  switch input.byte() % 4 {
  case 0: readLightNode(String(decoding: input.rest(), as: UTF8.self))
  case 1: readBackbone(String(decoding: input.rest(), as: UTF8.self))
  case 2:
    let key = keys[Int(input.byte()) % keys.count]
    readFlag(key, String(decoding: input.rest(), as: UTF8.self))
  default: readEveryType(String(decoding: input.rest(), as: UTF8.self))
  }
  return 0
}

private let name = "fuzz.yaml"
private let keys = LightNodeConfiguration().described.map(\.key)

private func check(_ error: ConfigurationError, of text: String) {
  precondition(error.description.hasPrefix(error.file) && !error.problem.isEmpty)
  let breaks: Set<UInt32> = [10, 13, 0x85, 0x2028, 0x2029]
  let lines = text.unicodeScalars.count { breaks.contains($0.value) } + 1
  if let line = error.line { precondition((1...lines + 1).contains(line), "line \(line) of \(lines)") }
}

/// What the file says can be said with flags too, and means the same.
private func readLightNode(_ text: String) {
  let configuration: LightNodeConfiguration
  do throws(ConfigurationError) {
    let file = try ConfigurationFile(text: text, name: name)
    configuration = try LightNodeConfiguration.load(file: file, flags: [])
  } catch { return check(error, of: text) }
  let flags = configuration.described.filter { !$0.value.isEmpty }.map { key, value in
    (key: key, values: key == "endpoints" ? value.split(separator: " ").map(String.init) : [value])
  }
  do throws(ConfigurationError) {
    let again = try LightNodeConfiguration.load(file: nil, flags: flags)
    precondition(again == configuration, "flags mean something else: \(configuration.changes(to: again))")
  } catch { preconditionFailure("what a file may say, flags may not: \(error)") }
}

private func readBackbone(_ text: String) {
  do throws(ConfigurationError) {
    let file = try ConfigurationFile(text: text, name: name)
    let configuration = try BackboneConfiguration(file)
    let settings = configuration.settings
    precondition(!settings.origins.isEmpty && !configuration.listeners.isEmpty)
    precondition(settings.nodes.count <= BackboneNodeList.maximumCount)
    precondition(configuration.listeners.allSatisfy { (0...65_535).contains($0.port) })
  } catch { check(error, of: text) }
}

/// A flag sets its own key and no other, to what was written.
private func readFlag(_ key: String, _ text: String) {
  let configuration: LightNodeConfiguration
  do throws(ConfigurationError) {
    configuration = try LightNodeConfiguration.load(file: nil, flags: [(key: key, values: [text])])
  } catch { return check(error, of: "") }
  let changed = LightNodeConfiguration().changes(to: configuration).map(\.key)
  precondition(
    changed.allSatisfy { $0 == key || (key == "state_directory" && $0 == "peer_id_file") },
    "--\(key) has changed \(changed)")
  let asWritten = ["backbone_url", "control_group"]
  if key.hasSuffix("_file") || key.hasSuffix("_directory") || key.hasSuffix("_socket")
    || asWritten.contains(key)
  {
    let value = configuration.described.first { $0.key == key }?.value
    precondition(value == text, "--\(key) has come out as \(value ?? "nothing")")
  }
}

private enum Colour: String, CaseIterable { case red, green }

private func readEveryType(_ text: String) {
  do throws(ConfigurationError) {
    var file = try ConfigurationFile(text: text, name: name)
    _ = try file.string("s")
    _ = try file.integer("i", in: -5...65_535)
    _ = try file.boolean("b")
    _ = try file.choice("c", of: Colour.self)
    _ = try file.value("v", expected: "an address") { IPAddress($0) }
    _ = try file.duration("d", in: .seconds(1)...(.seconds(7_200)))
    _ = try file.values("l", upTo: 3, expected: "text") { $0 }
    _ = try file.string("t.s")
    _ = try file.integer("t.u.i", in: 0...9)
    for var group in try file.groups("g", upTo: 3) ?? [] {
      _ = try group.string("s")
      _ = try group.groups("g", upTo: 1)
      try group.finish()
    }
    try file.finish()
  } catch { check(error, of: text) }
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let hash = String(repeating: "7a", count: 32)
    let lightNode = """
      mode: lightnode
      backbone_url: "https://192.0.2.1:8443"
      backbone_key: \(hash)
      region: eu-west   # a comment
      service_type: public
      relay_offer_mbps: 50
      listen_port: 9001
      endpoints: ["203.0.113.7:8443", "[2001:db8::7]:8443"]
      state_directory: /s
      control_group: "12"
      metrics_listen: off
      permit_loopback: true
      """
    let backbone = """
      region: eu-west
      origins: ["https://192.0.2.1:8443"]
      listen: ["[::]:8443", 127.0.0.1:80]
      tls: {certificate_file: /c, key_file: /k}
      admission:
        mode: list
        keys: [\(hash)]
      token_life: 24h
      nodes:
        - region: eu-west
          address: 198.51.100.7:8443
          key_hash: \(hash)
      limits:
        logins_per_minute: 9
      """
    let types = """
      s: "a\\x41\\u00e9"
      i: 17
      b: false
      c: green
      v: ::1
      d: 90m
      l: [a, 'b', >-
        c]
      t:
        s: |
          several
          lines
        u: {i: 3}
      g:
        - s: x
          g: [{}]
      """
    let pieces = """
      %YAML 1.1
      ---
      s: &a !!str x
      l: [*a, ? k]
      <<: {i: 1}
      ...
      """
    var seeds: [(name: String, bytes: [UInt8])] = [
      ("light-node", [0] + Array(lightNode.utf8)), ("backbone", [1] + Array(backbone.utf8)),
      ("types", [3] + Array(types.utf8)), ("pieces", [3] + Array(pieces.utf8)),
    ]
    for (number, key) in keys.enumerated() {
      let value = LightNodeConfiguration().described[number].value
      seeds.append(("flag-\(key)", [2, UInt8(number)] + Array(value.utf8)))
    }
    seeds.append(("flag-text", [2, 1] + Array("/\u{1b}\"\\\u{2028}: é\u{7f}".utf8)))
    return seeds
  }
  return 0
}
