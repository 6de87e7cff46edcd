import ArgumentParser
import Foundation
import Simulation

@main
struct SimulationProgram: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadowmesh-sim",
    abstract: "Runs the protocol cores in a simulated internet, from one seed.",
    discussion: "See docs/simulation.md.", subcommands: [Run.self, Replay.self, Draw.self],
    defaultSubcommand: Run.self)
}

/// Plays runs and holds them to their gates.
struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Play runs; without names, all of them. Exits with 1 when a gate is missed.")

  @Argument(
    help: "Which runs: \(RunName.allCases.map(\.rawValue).joined(separator: ", ")).", transform: runName)
  var names: [RunName] = []

  @Option(help: "The first seed.")
  var seed: UInt64 = 1

  @Flag(help: "A slice of each run that fits into a test.")
  var slice = false

  @Option(help: "Where the results go, as JSON.")
  var results = "results/sim.json"

  @Flag(help: "Print the results as JSON too.")
  var json = false

  static func runName(_ text: String) throws -> RunName {
    guard let name = RunName(rawValue: text) else {
      throw ValidationError(
        "no run is called \(text); there are \(RunName.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return name
  }

  func run() async throws {
    let progress = ProgressLine()
    let runner = Runner(
      workers: Workers(count: ProcessInfo.processInfo.activeProcessorCount, progress: progress),
      scale: slice ? .slice : .whole, seed: seed)
    let begin = ContinuousClock.now
    var report = Report(seed: seed)
    for name in names.isEmpty ? RunName.allCases : names {
      let result = await runner.play(name)
      progress.clear()
      report.add(result)
      if !json { Report.show(result, of: name) }
    }
    report.seconds = (ContinuousClock.now - begin).components.seconds
    try report.write(to: results)
    if json { print(String(decoding: try report.encoded(), as: UTF8.self)) } else { report.showVerdict() }
    if !report.ok { throw ExitCode(1) }
  }
}

/// Plays one case again and tells its story.
struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Play one case again, exactly as it went.")

  @Argument(help: "The run.", transform: Run.runName)
  var name: RunName

  @Argument(help: "The seed, or the number of an exhaustive case.")
  var number: UInt64

  func run() throws {
    switch name {
    case .handshakes, .real:
      show(
        HandshakeCase(seed: number, isReal: name == .real).play { at, host, event in
          print("\(at) host \(host.number): \(event)")
        })
    case .topologies:
      show(
        TopologyCase(seed: number).play { at, host, event in
          print("\(at) host \(host.number): \(event)")
        })
    case .exhaustive:
      let all = ExhaustiveCase.all
      guard number < UInt64(all.count) else { throw ValidationError("there are \(all.count) cases") }
      show(all[Int(number)].play())
    case .loss:
      for isPublic in [false, true] { print(LossyHandshake(seed: number, isPublic: isPublic).play()) }
    case .lookups:
      for (share, paths) in [(0.2, 4), (0.4, 8)] {
        let run = LookupRun(seed: number, founders: 10_000, liarShare: share, paths: paths, targets: 25)
        print(run.play())
      }
    case .hops: print(LookupRun(seed: number, founders: 10_000, targets: 20).play())
    case .churn: print(ChurnRun(seed: number).play())
    case .outage: print(OutageRun(seed: number).play())
    case .table:
      for popularity in [CacheRun.Popularity.uniform, .zipf] {
        print(CacheRun(seed: number, founders: 10_000, popularity: popularity).play())
      }
    case .ladder:
      print(
        LadderCase(seed: number).play { at, host, event in print("\(at) host \(host.number): \(event)") })
    case .size: print(ScaleRun(seed: number).start().sessions)
    case .flood:
      for isPublic in [false, true] { print(FloodRun(seed: number, isPublic: isPublic).play()) }
    case .attacks:
      let outcome = AttackRun(number).play { at, host, event in print("\(at) host \(host.number): \(event)") }
      print(outcome)
    }
  }

  private func show(_ outcome: HandshakeCase.Outcome) {
    print(outcome.story)
    print("\(outcome.events) events in \(outcome.elapsed), \(outcome.packetsDelivered) packets delivered")
    if let violation = outcome.violation {
      print(violation)
    } else {
      print(outcome.isConnected ? "connected" : "not connected once faults had ended")
    }
  }
}
