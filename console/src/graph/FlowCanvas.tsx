import 'reflect-metadata';
import {
  EditorRenderer,
  EditorState,
  FreeLayoutEditorProvider,
  type FreeLayoutPluginContext,
  type FreeLayoutProps,
} from '@flowgram.ai/free-layout-editor';
import '@flowgram.ai/free-layout-editor/index.css';
import { createMinimapPlugin, MinimapRender } from '@flowgram.ai/minimap-plugin';
import { useEffect, useMemo, useRef, useState } from 'react';
import { texts } from '../texts';
import { Icon, type IconName } from '../ui/Icon';
import { canvasData } from './canvasData';
import { keepFitted, type Fitting } from './fitting';
import { paintLines } from './lines';
import { NodeView } from './NodeView';
import { registries, registryOf } from './registries';
import { SourceContext, type GraphSource } from './source';
import '../styles/graph.css';

export interface Focus {
  nodeID: string;
  /** Grows each time the node is to be brought into view. */
  count: number;
}

/** FlowGram's canvas, to look at: nothing can be moved or changed. */
export function FlowCanvas({ source, focus }: { source: GraphSource; focus?: Focus }) {
  const [context, setContext] = useState<FreeLayoutPluginContext>();
  const [minimap, setMinimap] = useState(false);
  const pane = useRef<HTMLDivElement>(null);
  const fitting = useRef<Fitting>(undefined);
  const { workflow } = source;
  const props = useMemo(() => canvasProps(workflow, setContext), [workflow]);

  useEffect(() => {
    if (!context || !pane.current) return undefined;
    const fitted = keepFitted(context, pane.current);
    fitting.current = fitted;
    const stopLines = paintLines(context, source);
    return () => {
      fitted.stop();
      stopLines();
    };
  }, [context, source]);

  const nodeID = focus?.nodeID ?? '';
  const count = focus?.count ?? 0;
  useEffect(() => {
    const node = context && count > 0 ? context.document.getNode(nodeID) : undefined;
    if (!node) return;
    fitting.current?.release();
    void context?.playground.config.scrollToView({ entities: [node], easing: true });
  }, [context, nodeID, count]);

  const zoom = (step: (context: FreeLayoutPluginContext) => void) => () => {
    if (!context) return;
    fitting.current?.release();
    step(context);
  };
  return (
    <div className="flow-canvas" ref={pane}>
      <SourceContext value={source}>
        <FreeLayoutEditorProvider {...props}>
          <EditorRenderer className="flow-editor" />
          {minimap && (
            <MinimapRender
              containerStyles={{ position: 'absolute', right: 12, bottom: 56, pointerEvents: 'auto' }}
              panelStyles={{ backgroundColor: 'var(--surface)', border: '1px solid var(--line)', padding: 4 }}
              inactiveStyle={{ scale: 1, opacity: 1, translateX: 0, translateY: 0 }}
            />
          )}
        </FreeLayoutEditorProvider>
      </SourceContext>
      <div className="canvas-tools" role="toolbar" aria-label={texts.graph.label}>
        <Tool name="minus" label={texts.graph.zoomOut} onClick={zoom((each) => each.playground.config.zoomout(true))} />
        <Tool name="plus" label={texts.graph.zoomIn} onClick={zoom((each) => each.playground.config.zoomin(true))} />
        <Tool name="fit" label={texts.graph.fit} onClick={() => fitting.current?.fit(true)} />
        <Tool name="map" label={texts.graph.minimap} pressed={minimap} onClick={() => setMinimap(!minimap)} />
      </div>
    </div>
  );
}

function Tool({ name, label, pressed, onClick }: { name: IconName; label: string; pressed?: boolean; onClick: () => void }) {
  return (
    <button type="button" className="quiet icon-button" aria-label={label} title={label} aria-pressed={pressed} onClick={onClick}>
      <Icon name={name} />
    </button>
  );
}

function canvasProps(workflow: GraphSource['workflow'], onReady: (context: FreeLayoutPluginContext) => void): FreeLayoutProps {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  return {
    initialData: canvasData(workflow),
    readonly: true,
    background: false,
    nodeRegistries: registries,
    getNodeDefaultRegistry: registryOf,
    nodeEngine: { enable: false },
    materials: { renderDefaultNode: NodeView },
    playground: { autoFocus: false, preventGlobalGesture: true },
    scroll: { disableScrollBar: true },
    selectBox: { canSelect: () => false },
    plugins: () => [
      createMinimapPlugin({
        disableLayer: true,
        enableDisplayAllNodes: true,
        canvasStyle: {
          canvasWidth: 182,
          canvasHeight: 110,
          canvasPadding: 60,
          canvasBackground: color('--canvas'),
          canvasBorderRadius: 6,
          viewportBackground: color('--surface'),
          viewportBorderColor: color('--accent'),
          viewportBorderRadius: 4,
          viewportBorderWidth: 1.5,
          nodeColor: color('--line-strong'),
          nodeBorderColor: color('--line-strong'),
          overlayColor: 'rgba(0, 0, 0, 0)',
        },
      }),
    ],
    onAllLayersRendered: (context) => {
      // A drag on the ground moves the view, and the wheel zooms: there is nothing to select.
      context.playground.editorState.changeState(EditorState.STATE_MOUSE_FRIENDLY_SELECT.id);
      onReady(context);
    },
  };
}
