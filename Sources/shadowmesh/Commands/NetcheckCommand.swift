import ArgumentParser
import ControlAPI
import Foundation
import Glibc

/// `shadowmesh netcheck`.
struct NetcheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "netcheck",
    abstract: "Find out what stands between this node and the internet, and what that means.",
    discussion: """
      The daemon asks the backbones' STUN servers, or those that --stun names, from the socket that it uses
      for everything (RFC 5780). At most 5 seconds. Succeeds when a server answered.
      """)
  @OptionGroup var daemon: DaemonOptions
  @Option(
    help: ArgumentHelp(
      "Ask this STUN server instead of the backbones'; may be given several times.", valueName: "host:port"))
  var stun: [String] = []

  func run() throws {
    try reporting(daemon.output) {
      let servers = try stun.flatMap { try StunHost($0).endpoints }
      var last: NetcheckReport?
      let progress = ProgressLine(isShown: !daemon.output.json)
      try daemon.client.send(.netcheck(servers: servers), timeout: 15) { answer in
        guard case .netcheck(let report) = answer else { throw unexpectedAnswer() }
        let answered = report.servers.count { $0.milliseconds != nil }
        progress.show("asking: \(answered) of \(report.servers.count) servers have answered")
        last = report
      }
      progress.clear()
      guard let report = last else { throw unexpectedAnswer() }
      if daemon.output.json { printJSON(report) } else { NetcheckText(report).show() }
      if !report.udp { throw ExitCode(6) }
    }
  }
}

/// One line on a terminal that is written over and goes away in the end.
private struct ProgressLine {
  let isShown: Bool

  init(isShown: Bool) { self.isShown = isShown && isatty(STDERR_FILENO) == 1 }

  func show(_ text: String) {
    if isShown { FileHandle.standardError.write(Data("\r\u{1b}[2K\(text)".utf8)) }
  }

  func clear() {
    if isShown { FileHandle.standardError.write(Data("\r\u{1b}[2K".utf8)) }
  }
}

/// The report in words.
struct NetcheckText {
  let report: NetcheckReport
  private let style = Style()

  init(_ report: NetcheckReport) { self.report = report }

  func show() {
    printFields(fields, style: style)
    if !report.servers.isEmpty {
      print("")
      printTable(
        ["REGION", "SERVER", "ROUND TRIP"],
        report.servers.map {
          [
            $0.region.isEmpty ? "-" : $0.region, $0.address,
            $0.milliseconds.map { milliseconds($0) } ?? "no answer",
          ]
        }, style: style)
    }
    print("\n\(style.bold(report.meaning))")
    print(style.faint("(in \(milliseconds(report.milliseconds)))"))
  }

  /// Label and value, in the order in which a person asks.
  var fields: [(String, String)] {
    var fields = [("UDP", report.udp ? style.green("gets out and back") : style.red("no server answered"))]
    fields += family("IPv4", report.ipv4) + family("IPv6", report.ipv6)
    fields += [
      ("PCP", report.portMapping.pcp), ("NAT-PMP", report.portMapping.natPmp),
      ("UPnP", report.portMapping.upnp), ("port mapping", report.portMapping.summary),
    ]
    return fields
  }

  private func family(_ name: String, _ family: NetcheckFamily?) -> [(String, String)] {
    guard let family else { return [(name, "no server to ask")] }
    guard let address = family.address else { return [(name, style.yellow("no answer"))] }
    var fields = [
      (name, "seen as \(address)"), ("  mapping", Self.words(family.mapping)),
      ("  filter", Self.words(family.filtering)),
    ]
    guard family.mapping != .none else { return fields }
    fields += [
      ("  port kept", Self.answer(family.portKept)),
      ("  hairpin", Self.answer(family.hairpin)),
    ]
    if name == "IPv4" { fields.append(("  CGNAT", Self.answer(family.carrierGrade))) }
    return fields
  }

  static func answer(_ value: Bool?) -> String { value.map { $0 ? "yes" : "no" } ?? "can't tell" }

  static func words(_ mapping: NetcheckFamily.Mapping) -> String {
    switch mapping {
    case .unknown: "can't tell: no server with two addresses answered"
    case .none: "no NAT: others see this machine's own address"
    case .endpointIndependent: "the same outer port for everyone (endpoint-independent)"
    case .addressDependent: "another outer port for each address (address-dependent)"
    case .addressAndPortDependent: "another outer port for each destination (symmetric)"
    }
  }

  static func words(_ filtering: NetcheckFamily.Filtering) -> String {
    switch filtering {
    case .unknown: "can't tell: no server with two addresses answered"
    case .endpointIndependent: "none: anyone can send in (endpoint-independent)"
    case .addressDependent: "only addresses that were sent to can send in (address-dependent)"
    case .addressAndPortDependent: "only who was sent to can send in (address- and port-dependent)"
    }
  }
}
