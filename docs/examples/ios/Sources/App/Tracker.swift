import AVFoundation
import SwiftUI

/// The app's state: a camera, a session, what is shown. Its calls come from the main thread; the
/// session lives on the camera's queue.
final class Tracker: ObservableObject {
    @Published private(set) var status = "Loading"
    let view = FrameView(frame: .zero)
    private let camera = Camera()
    private var session: Session?
    private var isFront = false

    /// Ask for the camera, load the bundle, begin.
    func start() async {
        guard await AVCaptureDevice.requestAccess(for: .video) else {
            return await MainActor.run { status = "Without the camera there is nothing to see." }
        }
        camera.onFrame = { [weak self] frame in self?.track(frame) }
        ask { tracker in tracker.session = try load() }
        await MainActor.run { begin() }
    }

    func flip() {
        isFront.toggle()
        reset()
        begin()
    }

    func dropLast() { ask { $0.session?.dropLast() } }

    func reset() { ask { $0.session?.reset() } }

    /// Show an object: a drag from one place of the view to another, or a tap.
    func show(from start: CGPoint, to end: CGPoint) {
        guard let size = view.size else { return }
        let place = Placement(
            frame: size, viewWidth: view.bounds.width, viewHeight: view.bounds.height,
            isMirrored: view.isMirrored
        )
        if hypot(end.x - start.x, end.y - start.y) > 10 {
            let box = place.box(start.x, start.y, end.x, end.y)
            ask { $0.session?.showBox(box) }
        } else {
            let pixel = place.pixel(start.x, start.y)
            ask { $0.session?.showTap(x: pixel.x, y: pixel.y) }
        }
    }

    private func begin() {
        do {
            try camera.start(isFront ? .front : .back, layer: view.layer)
        } catch {
            status = describe(error)
        }
    }

    /// Do something on the session's queue, and say what went wrong.
    private func ask(_ action: @escaping (Tracker) throws -> Void) {
        camera.queue.async { [weak self] in
            guard let self else { return }
            do {
                try action(self)
            } catch {
                self.tell(describe(error))
            }
        }
    }

    private func tell(_ text: String) {
        DispatchQueue.main.async { self.status = text }
    }

    private func track(_ frame: Frame) {
        let start = Date()
        do {
            let result = try session?.step(frame)
            let totalMs = Date().timeIntervalSince(start) * 1e3
            DispatchQueue.main.async {
                self.view.show(frame, result, isMirrored: self.isFront)
                self.status = result.map { describe($0, totalMs) } ?? "Tap an object, or drag a box around it"
            }
        } catch {
            tell(describe(error))
        }
    }
}

/// Load the bundle that lies in the app as the folder `Model`.
private func load() throws -> Session {
    guard let bundle = Bundle.main.resourceURL?.appendingPathComponent("Model") else {
        throw Refusal(message: "The app has no folder Model.")
    }
    let manifest = try Manifest(data: Data(contentsOf: bundle.appendingPathComponent("manifest.json")))
    let head = try manifest.promptHead.map {
        PromptHead(graph: $0, engine: try CoreMLEngine(bundle: bundle, graph: $0))
    }
    let engine = try CoreMLEngine(bundle: bundle, graph: manifest.step)
    return Session(segmenter: Segmenter(manifest: manifest, engine: engine), head: head)
}

private func describe(_ error: Error) -> String {
    (error as? Refusal)?.message ?? error.localizedDescription
}

private func describe(_ result: FrameResult, _ totalMs: Double) -> String {
    let objects = result.confidence.sorted { $0.key < $1.key }.map { id, sure in
        sure > 0 ? "\(id): \(Int(100 * sure)) %" : "\(id): lost"
    }
    return "\(Int(totalMs)) ms, network \(Int(result.inferMs)) ms\n\(objects.joined(separator: ", "))"
}
