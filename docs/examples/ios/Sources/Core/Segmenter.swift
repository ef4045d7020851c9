import Foundation

/// What is known of a frame.
struct FrameResult {
    /// The part of the frame that the network looked at.
    let view: Box
    /// Object ids of the frame's size, 0 for the background.
    let labels: [UInt8]
    /// In [0, 1] of every object; 0 for one that is not seen.
    let confidence: [Int: Float]
    /// Milliseconds that the network took for the view.
    let inferMs: Double
}

/// Follow objects through a video: one call a frame, from one thread. As runtime/segmenter.py, but
/// for `presence`, which takes masks away from what no longer looks like its object.
final class Segmenter {
    private let manifest: Manifest
    private let engine: Engine
    private let channels: Int
    private let cells: Int
    private var memory: MemoryBank
    private var image: [Float]
    private var living: Set<Int> = []
    private var zoom: Zoom
    private var content: Size?  // of the image: what is no padding
    private var frameIndex = 0

    init(manifest: Manifest, engine: Engine) {
        self.manifest = manifest
        self.engine = engine
        let prompt = manifest.step.shape("prompt")
        channels = prompt[1]
        cells = prompt[2] * prompt[3]
        memory = MemoryBank(manifest: manifest)
        zoom = Zoom(image: manifest.step.size)
        image = [Float](repeating: neutral, count: manifest.step.shape("image").reduce(1, *))
    }

    /// The ids that are followed, ascending.
    var objects: [Int] { living.sorted() }

    /// An id that is not in use, or nil when all are.
    var freeId: Int? { (1..<channels).first { !living.contains($0) } }

    /// Forget an object; with the last one memory is emptied.
    func drop(_ id: Int) {
        if living.remove(id) == nil { return }
        memory.forget(id)
        if living.isEmpty { memory.clear() }
    }

    /// Forget all objects and frames.
    func reset() {
        memory.clear()
        living = []
        zoom.clear()
        frameIndex = 0
    }

    /// Find all objects in the next frame.
    ///
    /// - Parameter given: a label map of the frame's size: the masks that are given in this frame, or
    ///   nil.
    func step(_ frame: Frame, given: [UInt8]? = nil) throws -> FrameResult {
        let ids = Set((given ?? []).lazy.filter { $0 != 0 }.map { Int($0) })
        living.formUnion(ids)
        if living.isEmpty { throw Refusal(message: "There is nothing to follow: give a mask first.") }
        let shown = given.flatMap { boxAround($0, frame.size) }
        let view = zoom.view(frame.size, shown: shown, anew: ids == living)
        let wide = try lookWide(frame, view, given, ids)
        let letterbox = look(frame, view)
        let filled = inputs(letterbox, given.map { view.of($0, frame.size) }, ids)
        let start = Date()
        let outputs = try engine.run(filled)
        let inferMs = Date().timeIntervalSince(start) * 1e3
        let probability = outputs["probability"]!
        let background = letterbox.crop(probability)
        let maps = objects.map { (id: $0, cells: letterbox.crop(probability, offset: $0 * cells)) }
        let found = label(background: background, objects: maps, letterbox: letterbox, image: image)
        let labels = view.placed(found, frame.size)
        let confidence = confidence(background, maps, labels)
        let box = confidence.values.contains(0) ? nil : boxAround(labels, frame.size)
        zoom.update(view, found: box, ids: living, frame: frame.size, isShown: !ids.isEmpty)
        memory.write(
            key: outputs["key"]!, value: outputs["value"]!, frame: frameIndex, confidence: confidence,
            given: ids, wide: wide
        )
        frameIndex += 1
        return FrameResult(view: view, labels: labels, confidence: confidence, inferMs: inferMs)
    }

    /// Look at a whole frame in which something is shown and of which the view is a part: what is lost
    /// is searched for in whole frames, so memory has to know what lies outside the view.
    ///
    /// - Returns: key and value, or nil for no such frame.
    private func lookWide(
        _ frame: Frame, _ view: Box, _ given: [UInt8]?, _ ids: Set<Int>
    ) throws -> (key: [Float], value: [Float])? {
        let whole = Box.whole(frame.size)
        if ids.isEmpty || view == whole { return nil }
        let letterbox = look(frame, whole)
        let outputs = try engine.run(inputs(letterbox, given, ids))
        return (key: outputs["key"]!, value: outputs["value"]!)
    }

    /// Put a part of the frame into the network's image.
    private func look(_ frame: Frame, _ view: Box) -> Letterbox {
        let letterbox = Letterbox(frame: view.size, image: manifest.step.size)
        if letterbox.content != content { image = [Float](repeating: neutral, count: image.count) }
        content = letterbox.content
        letterbox.fill(frame, view, into: &image)
        return letterbox
    }

    /// Everything that the network is given; the image is filled already.
    private func inputs(_ letterbox: Letterbox, _ given: [UInt8]?, _ ids: Set<Int>) -> [String: [Float]] {
        var prompt = [Float](repeating: 0, count: channels * cells)
        var prompted = [Float](repeating: 0, count: channels)
        let active = (0..<channels).map { Float($0 == 0 || living.contains($0) ? 1 : 0) }
        if let given, !ids.isEmpty {
            for i in 0..<cells { prompt[i] = 1 }
            var background = letterbox.crop(prompt)
            for id in ids.sorted() {
                let part = letterbox.coverage(given, id)
                letterbox.paste(part, into: &prompt, offset: id * cells)
                for i in part.data.indices { background.data[i] = max(background.data[i] - part.data[i], 0) }
                prompted[id] = 1
            }
            letterbox.paste(background, into: &prompt, offset: 0)
            // The background is given only where nothing else can be there.
            if ids == living && memory.valid.allSatisfy({ $0 == 0 }) { prompted[0] = 1 }
        }
        return [
            "image": image, "prompt": prompt, "prompted": prompted, "active": active,
            "memory_key": memory.key, "memory_value": memory.value, "memory_valid": memory.valid,
        ]
    }

    /// The mean probability of each object over the cells where it is the likeliest; 0 where it has no
    /// pixel.
    private func confidence(
        _ background: Plane, _ maps: [(id: Int, cells: Plane)], _ labels: [UInt8]
    ) -> [Int: Float] {
        let seen = Set(labels)
        var found: [Int: Float] = [:]
        for (id, own) in maps {
            let places = own.data.indices.filter { i in
                own.data[i] >= background.data[i] && maps.allSatisfy { own.data[i] >= $0.cells.data[i] }
            }
            let sum = places.reduce(0.0) { $0 + Double(own.data[$1]) }
            let isSeen = !places.isEmpty && seen.contains(UInt8(id))
            found[id] = isSeen ? Float(sum / Double(places.count)) : 0
        }
        return found
    }
}
