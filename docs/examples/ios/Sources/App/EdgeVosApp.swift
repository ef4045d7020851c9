import SwiftUI

@main
struct EdgeVosApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}

/// The camera's frames with the masks of what is followed in them.
struct ContentView: View {
    @StateObject private var tracker = Tracker()
    @State private var box: CGRect?

    var body: some View {
        ZStack {
            Picture(view: tracker.view).gesture(
                DragGesture(minimumDistance: 0)
                    .onChanged { drag in
                        let (start, end) = (drag.startLocation, drag.location)
                        box = CGRect(
                            x: min(start.x, end.x), y: min(start.y, end.y),
                            width: abs(end.x - start.x), height: abs(end.y - start.y)
                        )
                    }
                    .onEnded { drag in
                        tracker.show(from: drag.startLocation, to: drag.location)
                        box = nil
                    }
            )
            if let box { Path(box).stroke(Color.white, lineWidth: 2).allowsHitTesting(false) }
            VStack {
                Text(tracker.status).padding().foregroundStyle(Color.white)
                Spacer()
                HStack {
                    Button("Flip") { tracker.flip() }
                    Button("Drop") { tracker.dropLast() }
                    Button("Reset") { tracker.reset() }
                }
                .buttonStyle(.borderedProminent)
                .padding()
            }
        }
        .background(Color.black)
        .task { await tracker.start() }
    }
}
